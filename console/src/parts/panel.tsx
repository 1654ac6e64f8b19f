import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import type { Told } from "../topics.ts";

interface PanelProps {
  readonly title: string;
  /** Beside the title: a number, a choice, a word. */
  readonly aside?: ComponentChildren;
  readonly class?: string;
  readonly children: ComponentChildren;
}

/** A part of a view under a heading of its own. */
export function Panel({ title, aside, class: name = "", children }: PanelProps) {
  const id = useId();
  return (
    <section class={`panel ${name}`} aria-labelledby={id}>
      <header class="panel-head">
        <h2 id={id}>{title}</h2>
        {aside !== undefined && <div class="panel-aside">{aside}</div>}
      </header>
      {children}
    </section>
  );
}

/** What was told, or in its place that nothing came yet, or what is wrong. */
export function Known<T>({ told, children }: { told: Told<T>; children: (value: T) => ComponentChildren }) {
  switch (told.kind) {
    case "nothing":
      return <p class="empty waiting-for">Asking the server …</p>;
    case "problem":
      return <p class="empty problem">{told.message}</p>;
    case "known":
      return <>{children(told.value)}</>;
    default:
      return told satisfies never;
  }
}

/** Words in place of rows that are not there. */
export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}
