import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useNow } from "./clock.ts";
import { timeOfDay, toMs } from "./format.ts";
import { listenToKeys } from "./keys.ts";
import { HelpDialog } from "./parts/help-dialog.tsx";
import { Icon, type IconName, Mark } from "./parts/icon.tsx";
import { Text } from "./parts/text.tsx";
import { href, type Route, route } from "./route.ts";
import { dark, toggleTheme } from "./theme.ts";
import { live, status } from "./topics.ts";
import { useValue } from "./value.ts";

const entries: readonly {
  readonly to: Route;
  readonly title: string;
  readonly icon: IconName;
  readonly views: readonly Route["view"][];
}[] = [
  { to: { view: "overview" }, title: "Overview", icon: "overview", views: ["overview"] },
  { to: { view: "locks", prefix: "" }, title: "Locks", icon: "locks", views: ["locks", "lock"] },
  { to: { view: "sessions" }, title: "Sessions", icon: "sessions", views: ["sessions", "session"] },
  { to: { view: "graph" }, title: "Waiting", icon: "graph", views: ["graph"] },
  { to: { view: "servers" }, title: "Servers", icon: "servers", views: ["servers"] },
];

/** The frame around every view: where one can go, how the page stands with its server, and its choices. */
export function Shell({ children }: { children: ComponentChildren }) {
  const { view } = useValue(route);
  const connection = useValue(live.connection);
  const [help, setHelp] = useState(false);
  useEffect(() => listenToKeys(() => setHelp(true)), []);
  return (
    <div class="shell" data-connection={connection.kind}>
      <button type="button" class="skip" onClick={() => document.getElementById("main")?.focus()}>
        Skip to content
      </button>
      <header class="side">
        <a class="brand" href={href({ view: "overview" })}>
          <Mark />
          <span>Holdfast</span>
        </a>
        <nav aria-label="Views">
          <ul>
            {entries.map(({ to, title, icon, views }) => (
              <li key={title}>
                <a href={href(to)} aria-current={views.includes(view) ? "page" : undefined}>
                  <Icon name={icon} size={20} />
                  <span>{title}</span>
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div class="side-foot">
          <ConnectionState />
          <div class="side-buttons">
            <ThemeButton />
            <button
              type="button"
              class="icon-button"
              aria-label="Keyboard shortcuts and help"
              onClick={() => setHelp(true)}
            >
              <Icon name="help" />
            </button>
          </div>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        <Banner />
        <div class="view">{children}</div>
      </main>
      {help && <HelpDialog close={() => setHelp(false)} />}
    </div>
  );
}

function ThemeButton() {
  const isDark = useValue(dark);
  return (
    <button type="button" class="icon-button" aria-label={isDark ? "Light theme" : "Dark theme"} onClick={toggleTheme}>
      <Icon name={isDark ? "sun" : "moon"} />
    </button>
  );
}

/** A word on how things stand, beside the mark. */
function ConnectionState() {
  const connection = useValue(live.connection);
  const hello = useValue(live.hello);
  const words = { connecting: "Connecting", live: "Live", silent: "Silent", lost: "Disconnected" };
  return (
    <p class={`connection connection-${connection.kind}`}>
      <span class="dot" aria-hidden="true" />
      <span class="connection-word">{words[connection.kind]}</span>
      {hello !== undefined && <span class="version">{hello.version}</span>}
    </p>
  );
}

/** What the one who looks must know before believing what is shown. One at a time: the worst. */
function Banner() {
  const connection = useValue(live.connection);
  const hello = useValue(live.hello);
  const told = useValue(status);
  if (connection.kind === "lost") return <LostBanner {...connection} />;
  if (connection.kind === "silent")
    return (
      <Notice tone="trouble">
        Nothing has come from the server since {timeOfDay(connection.sinceMs)}. What you see may be old.
      </Notice>
    );
  if (told.kind === "known") {
    const { problem, table } = told.value;
    const lagMs = toMs(table?.lag) ?? 0;
    if (problem !== "")
      return (
        <Notice tone="trouble">
          <strong>This server does not serve:</strong> <Text>{problem}</Text>. What you see may be old.
        </Notice>
      );
    if (lagMs > 2_000)
      return <Notice tone="trouble">This server's table is more than 2 s behind etcd: what you see is old.</Notice>;
  }
  if (hello !== undefined && !hello.access.allowed && !hello.access.byToken)
    return (
      <Notice tone="quiet">
        <strong>Read-only:</strong> {hello.access.problem}.
      </Notice>
    );
  return null;
}

function LostBanner({ sinceMs, problem, retryAtMs }: { sinceMs: number; problem: string; retryAtMs: number }) {
  const nowMs = useNow();
  const inSeconds = Math.max(0, Math.ceil((retryAtMs - nowMs) / 1_000));
  return (
    <div class="banner tone-trouble">
      <Icon name="warning" />
      {/* Only this is read out, once: the seconds change. */}
      <p role="alert">
        <strong>Disconnected since {timeOfDay(sinceMs)}.</strong> What you see is what was known then.
      </p>
      <p class="banner-more">
        {problem}; {inSeconds === 0 ? "trying again" : `trying again in ${inSeconds} s`}
      </p>
      <button type="button" class="button button-small" onClick={() => live.retryNow()}>
        Try now
      </button>
    </div>
  );
}

function Notice({ tone, children }: { tone: "trouble" | "quiet"; children: ComponentChildren }) {
  return (
    <div class={`banner tone-${tone}`} role={tone === "trouble" ? "alert" : "note"}>
      <Icon name={tone === "trouble" ? "warning" : "help"} />
      <p>{children}</p>
    </div>
  );
}

interface ViewHeadProps {
  readonly title: ComponentChildren;
  /** The same in plain words, for the window. */
  readonly plainTitle: string;
  readonly back?: { readonly to: Route; readonly title: string };
  readonly children?: ComponentChildren;
}

/** The heading of a view, which is focused when one comes to it, so that a screen reader says where one is. */
export function ViewHead({ title, plainTitle, back, children }: ViewHeadProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${plainTitle} · Holdfast`;
    // Not at the very first: there the page itself is announced.
    if (arrivals++ > 0) heading.current?.focus({ preventScroll: true });
    document.getElementById("main")?.scrollTo({ top: 0 });
  }, [plainTitle]);
  return (
    <header class="view-head">
      <div class="view-title">
        {back !== undefined && (
          <a class="back" href={href(back.to)}>
            <Icon name="back" size={16} />
            {back.title}
          </a>
        )}
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
      </div>
      {children !== undefined && <div class="view-tools">{children}</div>}
    </header>
  );
}

let arrivals = 0;
