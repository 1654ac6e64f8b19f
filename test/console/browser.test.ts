import axe from "axe-core";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { printable } from "../../clients/cli/text.ts";
import { type Client, connect } from "../../clients/typescript/src/index.ts";
import { within } from "../support/calm.ts";
import { eventually } from "../support/eventually.ts";
import { outerAddress } from "../support/outer-address.ts";
import { startRelay } from "../support/relay.ts";
import { useService } from "../support/service.ts";
import { StubSession, sharedLock, stubOf } from "../support/stub-session.ts";
import { type ConsolePage, type Look, openConsole, PICTURES, startBrowser } from "./chromium.ts";
import { consoleOver } from "./console-over.ts";
import { startExposed } from "./exposed.ts";
import { hostileTexts } from "./hostile-texts.ts";

const LOCKS = 5_000;
const WAITERS = 60;
const HOLD_MS = 40;

const service = useService();
let browser: Browser;
const parts = new AsyncDisposableStack();

const address = () => service().servers[0]!.httpAddress;
const open = (look?: Look) => openConsole(browser, address(), look);

beforeAll(async () => {
  browser = await startBrowser();
  parts.defer(() => browser.close());
  const clients = ["checkout", "billing-worker", "inventory-sync", "ledger", "mailer", "reindexer"].map((clientName) =>
    parts.use(connect(service().address(), { clientName, labels: { team: "payments", region: "eu-west-1" } })),
  );
  await holdMany(clients);
  parts.use(keepHot(clients));
}, 120_000);

afterAll(async () => {
  await parts.disposeAsync();
}, 60_000);

/** Takes 5,000 locks and keeps them. */
async function holdMany(clients: readonly Client[]): Promise<void> {
  const kinds = ["orders", "invoices", "inventory/eu-west", "payments/settle", "users/profile"];
  const names = Array.from({ length: LOCKS }, (_, index) => `${kinds[index % kinds.length]}/${10_000 + index}`);
  // A session may have 1,000 claims; what is left is for the hot lock.
  const each = Math.ceil(LOCKS / clients.length);
  const shares = clients.map((client, index) => ({ client, share: names.slice(index * each, (index + 1) * each) }));
  await Promise.all(shares.map(({ client, share }) => Promise.all(share.map((name) => client.acquire(name)))));
}

/** Has 60 waiters take one lock by turns, each for 40 ms, until disposed of. */
function keepHot(clients: readonly Client[]): AsyncDisposable {
  const stop = new AbortController();
  const work = async (client: Client) => {
    while (!stop.signal.aborted) {
      const lock = await client.acquire("orders/hot", { purpose: "settle the order", signal: stop.signal });
      await new Promise((resolve) => setTimeout(resolve, HOLD_MS));
      await lock.release();
    }
  };
  // What stops them aborts their waiting; what is released by force stops one, and the others go on.
  const workers = Array.from({ length: WAITERS }, (_, index) =>
    work(clients[index % clients.length]!).catch(() => undefined),
  );
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all(workers);
    },
  };
}

/** Every view, by its address and its heading. */
const views = [
  { name: "overview", hash: "#/", heading: "Overview", ready: ".hero-number .unit:not(:empty)" },
  { name: "locks", hash: "#/locks", heading: "Locks", ready: ".grid-body .grid-row" },
  { name: "lock", hash: "#/lock/orders%2Fhot", heading: "orders/hot", ready: ".queue tbody tr" },
  { name: "sessions", hash: "#/sessions", heading: "Sessions", ready: ".grid-body .grid-row" },
  { name: "session", hash: "", heading: "@", ready: ".queue tbody tr" },
  { name: "waiting", hash: "#/graph", heading: "Who waits for whom", ready: ".box" },
  { name: "servers", hash: "#/servers", heading: "Servers", ready: ".quota" },
] as const;

async function show({ page, show }: ConsolePage, view: (typeof views)[number]): Promise<void> {
  if (view.name === "session") {
    await show("#/sessions", "Sessions");
    await page.locator(".grid-body .grid-row").first().click();
    await page.locator("h1", { hasText: "@" }).waitFor();
  } else await show(view.hash, view.heading);
  await page.locator(view.ready).first().waitFor();
}

/** Resolves when it listens to keys, which it does a moment after it is there. */
const hears = (page: Page) => page.locator('.shell[data-connection="live"]').waitFor();

describe("the console in a browser", () => {
  it("finds a lock among 5,000 and shows its queue move", async () => {
    await using console = await open();
    const { page } = console;
    await hears(page);
    await page.keyboard.press("/");
    await page.waitForFunction(() => document.activeElement?.matches("input.search"));
    await eventually(async () => /5,0\d\d locks/.test((await page.locator(".grid-summary").textContent()) ?? ""), true);
    expect(await page.locator(".grid-body .grid-row").first().textContent()).toContain("orders/hot");
    await page.getByRole("button", { name: "Held for" }).click();
    // Held the longest: one of those that were taken first.
    await page
      .locator(".grid-body .grid-row", { hasText: /\/1\d{4}/ })
      .first()
      .waitFor();
    expect(await page.locator(".grid-body .grid-row").first().textContent()).not.toContain("orders/hot");
    await page.getByRole("button", { name: "Waiting" }).click();
    await page.locator("input.search").focus();
    await page.keyboard.type("orders/ho");
    await page.locator(".grid-summary", { hasText: "1 lock" }).waitFor();
    await page.locator('[role="grid"]').focus();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.locator("h1", { hasText: "orders/hot" }).waitFor();
    const token = async () => BigInt((await page.locator(".holder-card .mono").first().textContent()) ?? 0);
    const before = await token();
    await eventually(async () => (await token()) > before, true);
    expect(await page.locator(".queue tbody tr").count()).toBeGreaterThan(WAITERS / 2);
    const history = page.locator(".events .event");
    await history.first().waitFor();
    expect(await history.allTextContents()).toContainEqual(expect.stringMatching(/granted[\s\S]*after/));
    expect(console.complaints).toEqual([]);
  });

  it("frees a lock by force, after two questions, and its holder is told", async () => {
    await using holder = connect(service().address(), { clientName: "stuck-job" });
    const lock = await holder.acquire("jobs/nightly", { purpose: "the nightly run", value: "10.0.0.7:9000" });
    await using console = await open();
    const { page } = console;
    await console.show("#/lock/jobs%2Fnightly", "jobs/nightly");
    expect(await page.locator(".holder-card").textContent()).toContain("10.0.0.7:9000");
    await page.getByRole("button", { name: "Free by force" }).click();
    const dialog = page.locator("dialog[open]");
    await dialog.waitFor();
    expect(await dialog.locator(".victim").textContent()).toContain("stuck-job");
    expect(await dialog.locator(".victim").textContent()).toContain(String(lock.token));
    const next = dialog.getByRole("button", { name: "Continue" });
    expect(await next.isDisabled()).toBe(true);
    await dialog.getByLabel("Why?").fill("hangs since the deploy");
    await page.screenshot({ path: `${PICTURES}/light-force-reason.png` });
    await next.click();
    const free = dialog.getByRole("button", { name: "Free it" });
    expect(await free.isDisabled()).toBe(true);
    await dialog.getByLabel("Type jobs/nightly").fill("jobs/nightl");
    expect(await free.isDisabled()).toBe(true);
    await dialog.getByLabel("Type jobs/nightly").fill("jobs/nightly");
    await page.screenshot({ path: `${PICTURES}/light-force-confirm.png` });
    expect(lock.held).toBe(true);
    await page.keyboard.press("Enter");
    await dialog.getByText("The lock was freed").waitFor();
    await eventually(() => lock.loss?.reason, "released-by-force");
    expect(lock.loss?.message).toContain("hangs since the deploy");
    await dialog.getByRole("button", { name: "Close" }).last().click();
    await page.locator(".holders .empty", { hasText: "Nobody holds it" }).waitFor();
    await page.locator(".event", { hasText: /forced.*stuck-job.*hangs since the deploy/ }).waitFor();
    await console.show("#/", "Overview");
    await page.locator(".event", { hasText: "hangs since the deploy" }).waitFor();
    await page.locator(".event").first().scrollIntoViewIfNeeded();
    await page.screenshot({ path: `${PICTURES}/light-trouble.png` });
    expect(console.complaints).toEqual([]);
  });

  it("does not free a lock that has another holder by then", async () => {
    await using first = connect(service().address(), { clientName: "first" });
    await using second = connect(service().address(), { clientName: "second" });
    const lock = await first.acquire("jobs/moves on");
    await using console = await open();
    const { page } = console;
    await console.show("#/lock/jobs%2Fmoves%20on", "jobs/moves on");
    await page.getByRole("button", { name: "Free by force" }).click();
    const dialog = page.locator("dialog[open]");
    await dialog.getByLabel("Why?").fill("hangs");
    await dialog.getByRole("button", { name: "Continue" }).click();
    await lock.release();
    const later = await second.acquire("jobs/moves on");
    await dialog.getByText("It does not hold the lock any more").waitFor();
    // A name with a space cannot be told from one with another blank: the end of the token is typed instead.
    await dialog.getByLabel("Type").fill(String(lock.token).slice(-6));
    await dialog.getByRole("button", { name: "Free it" }).click();
    await dialog.getByRole("alert").filter({ hasText: /./ }).waitFor();
    expect(later.held).toBe(true);
    expect(console.complaints.filter((complaint) => !complaint.includes("409"))).toEqual([]);
  });

  it("closes a session by force, likewise", async () => {
    const client = connect(service().address(), { clientName: "lost-worker" });
    parts.use(client);
    const lock = await client.acquire("jobs/lost");
    await using console = await open();
    const { page } = console;
    await console.show("#/sessions", "Sessions");
    await page.locator("#session-search").fill("lost-worker");
    await page.locator(".grid-body .grid-row", { hasText: "lost-worker" }).click();
    await page.locator("h1", { hasText: "lost-worker@" }).waitFor();
    await page.getByRole("button", { name: "Close by force" }).click();
    const dialog = page.locator("dialog[open]");
    await dialog.getByLabel("Why?").fill("nobody knows it");
    await dialog.getByRole("button", { name: "Continue" }).click();
    const typed = await dialog.locator(".confirmation").textContent();
    await dialog.getByLabel("Type").fill(typed ?? "");
    await dialog.getByRole("button", { name: "Close it" }).click();
    await dialog.getByText("The session was closed").waitFor();
    await eventually(() => lock.loss?.reason, "closed-by-force");
    expect(console.complaints).toEqual([]);
  });

  it("asks whoever comes from another machine for the admin token, and frees a lock with that and with no other", async () => {
    const token = "0123456789abcdef0123456789abcdef";
    using outer = outerAddress();
    const where = { etcd: service().etcd.endpoint, host: outer.host };
    await using server = await startExposed({ ...where, env: { HOLDFAST_ADMIN_TOKEN: token } });
    await using holder = connect(server.grpcAddress, { clientName: "stuck-job" });
    const lock = await holder.acquire("jobs/far");
    await using console = await openConsole(browser, server.fromElsewhere);
    const { page } = console;
    await console.show("#/lock/jobs%2Ffar", "jobs/far");
    await page.getByRole("button", { name: "Free by force" }).click();
    const dialog = page.locator("dialog[open]");
    await dialog.getByLabel("Why?").fill("hangs");
    const next = dialog.getByRole("button", { name: "Continue" });
    expect(await next.isDisabled()).toBe(true);
    await dialog.getByLabel("Admin token").fill(token.replace("0", "1"));
    await next.click();
    await dialog.getByLabel("Type jobs/far").fill("jobs/far");
    await dialog.getByRole("button", { name: "Free it" }).click();
    await dialog.getByRole("alert").filter({ hasText: "is not this server's" }).waitFor();
    expect(lock.held).toBe(true);
    await dialog.getByRole("button", { name: "Back" }).click();
    await dialog.getByLabel("Admin token").fill(token);
    await next.click();
    await dialog.getByLabel("Type jobs/far").fill("jobs/far");
    await dialog.getByRole("button", { name: "Free it" }).click();
    await dialog.getByText("The lock was freed").waitFor();
    await eventually(() => lock.loss?.reason, "released-by-force");
    expect(console.complaints.filter((complaint) => !complaint.includes("403"))).toEqual([]);
  });

  it("scrolls through thousands of rows, of which few exist, without stutter", async () => {
    await using console = await open();
    const { page } = console;
    await show(console, views[1]);
    await eventually(
      async () => Number(await page.locator('[role="grid"]').getAttribute("aria-rowcount")) > LOCKS,
      true,
    );
    const seen = await page.evaluate(async () => {
      const grid = document.querySelector('[role="grid"]')!;
      const tasks: number[] = [];
      const observer = new PerformanceObserver((list) =>
        tasks.push(...list.getEntries().map(({ duration }) => duration)),
      );
      observer.observe({ type: "longtask" });
      let mostRows = 0;
      let empty = 0;
      const frames = 50;
      const startedMs = performance.now();
      for (let frame = 0; frame < frames; frame++) {
        grid.scrollTop = (grid.scrollHeight * frame) / frames;
        await new Promise(requestAnimationFrame);
        await new Promise(requestAnimationFrame);
        const rows = [...grid.querySelectorAll(".grid-body .grid-row")];
        mostRows = Math.max(mostRows, rows.length);
        const middle = grid.getBoundingClientRect().top + grid.clientHeight / 2;
        if (
          !rows.some((row) => row.getBoundingClientRect().top <= middle && row.getBoundingClientRect().bottom >= middle)
        )
          empty++;
      }
      const meanMs = (performance.now() - startedMs) / (2 * frames);
      observer.disconnect();
      return { mostRows, empty, meanMs, longestMs: Math.max(0, ...tasks) };
    });
    expect(seen.mostRows).toBeLessThan(80);
    expect(seen.empty).toBe(0);
    expect(seen.longestMs).toBeLessThan(within(100, 5_000));
    expect(seen.meanMs).toBeLessThan(within(50, 1_000));
    expect(console.complaints).toEqual([]);
  });

  it("is a page for the keyboard", async () => {
    await using console = await open();
    const { page } = console;
    await hears(page);
    await page.keyboard.press("?");
    await page.locator("dialog[open]", { hasText: "Keys" }).waitFor();
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
    await page.waitForFunction(() => document.activeElement === document.body);
    for (const [keys, heading] of [
      ["gl", "Locks"],
      ["gs", "Sessions"],
      ["gw", "Who waits for whom"],
      ["gh", "Servers"],
      ["go", "Overview"],
    ] as const) {
      for (const key of keys) await page.keyboard.press(key);
      // It is focused a moment after it is there.
      await page.locator("h1:focus", { hasText: heading }).waitFor();
    }
    await page.keyboard.press("t");
    expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe("dark");
    await page.reload();
    expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe("dark");
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement?.textContent?.trim())).toBe("Skip to content");
    await page.keyboard.press("Enter");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("main");
    expect(console.complaints).toEqual([]);
  });

  it("takes keys as soon as a dialog is closed, which keeps the focus for a moment", async () => {
    await using console = await open();
    const { page } = console;
    await hears(page);
    await page.keyboard.press("?");
    await page.locator("dialog[open]").waitFor();
    await page.evaluate(() => {
      const dialog = document.querySelector("dialog")!;
      dialog.close();
      for (const key of "gl")
        dialog.querySelector("button")!.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    });
    await page.locator("h1:focus", { hasText: "Locks" }).waitFor();
  });

  it("says since when it is cut off or hears nothing, greys what it shows, and comes back by itself", async () => {
    await using relay = await startRelay(address());
    await using console = await openConsole(browser, relay.endpoint);
    const { page } = console;
    const state = (kind: string) => page.locator(`.shell[data-connection="${kind}"]`).waitFor();
    await page.locator(".tile", { hasText: /Held\s*5,/ }).waitFor();
    await state("live");

    relay.blackHole();
    await state("silent");
    expect(await page.locator(".banner").textContent()).toMatch(
      /Nothing has come from the server since \d\d:\d\d:\d\d/,
    );
    relay.mend();
    await state("live");
    await page.locator(".banner").waitFor({ state: "detached" });

    relay.cut();
    await state("lost");
    expect(await page.locator(".banner").textContent()).toMatch(/Disconnected since \d\d:\d\d:\d\d/);
    const filter = () => page.locator(".view").evaluate((view) => getComputedStyle(view).filter);
    await eventually(filter, "grayscale(1)");
    await page.screenshot({ path: `${PICTURES}/light-disconnected.png` });
    // While it is cut off, or it may come back by itself before the button is pressed.
    const tried = page.waitForRequest(/\/api\/live/);
    await page.getByRole("button", { name: "Try now" }).click();
    await tried;
    relay.mend();
    await state("live");
    await page.locator(".banner").waitFor({ state: "detached" });
    const refused = console.complaints.filter(
      (complaint) => !/ERR_(CONNECTION|EMPTY|INCOMPLETE|SOCKET)/.test(complaint),
    );
    expect(refused).toEqual([]);
  });

  it.each([
    { name: "light", look: { scheme: "light" } },
    { name: "dark", look: { scheme: "dark" } },
    { name: "phone", look: { scheme: "light", width: 360, height: 740 } },
    { name: "phone-dark", look: { scheme: "dark", width: 360, height: 740 } },
  ] as const)(
    "shows every view on a $name screen, none wider than it, readable for everybody",
    { timeout: 240_000 },
    async ({ name, look }) => {
      await using console = await open(look);
      const { page } = console;
      for (const view of views) {
        await show(console, view);
        await page.screenshot({ path: `${PICTURES}/${name}-${view.name}.png` });
        const tooWide = await page.evaluate(() =>
          [document.documentElement, document.querySelector("main")!].map((one) => one.scrollWidth - one.clientWidth),
        );
        expect([view.name, ...tooWide]).toEqual([view.name, 0, 0]);
        expect([view.name, ...(await violationsOn(console, name))]).toEqual([view.name]);
      }
      expect(console.complaints).toEqual([]);
    },
  );

  it("marks a deadlock", async () => {
    // There is none for longer than a moment: the service breaks it. So it is made up.
    const thread = (nodeId: number, heldLocks: string[], wantedLocks: string[]) => ({
      nodeId,
      sessionId: `s${nodeId}`,
      reentryId: `r${nodeId}`,
      client: { name: `worker-${nodeId}`, host: "node.eu" },
      heldLocks,
      wantedLocks,
      deadlocked: true,
    });
    const answer = {
      nodes: [thread(1, ["a"], ["b"]), thread(2, ["b"], ["c"]), thread(3, ["c"], ["a"])],
      edges: [
        { fromNodeId: 1, toNodeId: 2, lockName: "b", held: true },
        { fromNodeId: 2, toNodeId: 3, lockName: "c", held: true },
        { fromNodeId: 3, toNodeId: 1, lockName: "a", held: true },
      ],
    };
    await using console = await openConsole(
      browser,
      await consoleOver({ read: async () => ({ kind: "ok", json: answer }) }),
    );
    const { page } = console;
    await console.show("#/graph", "Who waits for whom");
    await page.locator(".grid-summary", { hasText: "3 wait for each other in a circle" }).waitFor();
    expect(await page.locator(".box-deadlock").count()).toBe(3);
    expect(await page.locator(".arrow-deadlock").count()).toBe(3);
    await page.screenshot({ path: `${PICTURES}/light-deadlock.png` });
    await page.getByRole("radio", { name: "List" }).check();
    expect(await page.locator("tbody tr", { hasText: "circle" }).count()).toBe(3);
  });
});

/** What axe finds wrong, of what it calls serious or critical. */
async function violationsOn({ page }: ConsolePage, screen: string): Promise<string[]> {
  // Colours are the same on a phone, and take the longest to look at.
  const colours = !screen.startsWith("phone");
  await page.evaluate(axe.source);
  return page.evaluate(async (withColours) => {
    const { axe } = window as unknown as { axe: typeof import("axe-core") };
    const { violations } = await axe.run(document, {
      resultTypes: ["violations"],
      rules: { "color-contrast": { enabled: withColours } },
    });
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .flatMap(({ id, nodes }) =>
        nodes.slice(0, 3).map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)} ${failureSummary}`),
      );
  }, colours);
}

describe("what clients say of themselves", () => {
  const texts = hostileTexts(200);
  /** Names are shown to have no control characters and no empty segments before they are taken. */
  const names = texts.map(
    (text, index) => `hostile/${index}/${text.replace(/\p{Cc}|^\/+|\/+$/gu, "").replace(/\/+/g, "/")}`,
  );

  beforeAll(async () => {
    const stub = stubOf(service().address());
    parts.defer(() => stub.close());
    for (let from = 0; from < texts.length; from += 10) {
      const share = texts.slice(from, from + 10);
      const labels = Object.fromEntries(share.map((text, index) => [`label-${index}`, text]));
      const session = parts.use(
        await StubSession.open(service().address(), { stub, name: share[0]!, labels, ttlMs: 30_000 }),
      );
      const options = (text: string) => ({ purpose: text, reentryId: text });
      await Promise.all([
        ...share.map((text, index) => session.take(names[from + index]!, options(text))),
        // Two crowds of a hundred: what is shown of a holder is shown of all of them.
        ...share.map((text) => session.take(sharedLock(`crowd/${from < 100 ? 1 : 2}`), options(text))),
      ]);
    }
  }, 60_000);

  /** Nothing became an element, was run, or is there unescaped. */
  async function isHarmless({ page, complaints }: ConsolePage): Promise<void> {
    const found = await page.evaluate(() => ({
      harmed: "harmed" in window,
      elements: document.querySelectorAll(
        "#app :is(script, iframe, img, style, b, textarea), [onload], [onerror], [onmouseover], a[href^=javascript]",
      ).length,
      raw:
        /[\p{Cc}\p{Zl}\p{Zp}\u200b\u202a-\u202e\u2066-\u2069\ufeff\u00ad]/u.exec(
          document.getElementById("app")!.textContent,
        )?.[0] ?? "",
      title: document.title,
    }));
    expect(found).toMatchObject({ harmed: false, elements: 0, raw: "" });
    expect(complaints).toEqual([]);
  }

  it("is text as the name of a lock, in the list and on its own page", async () => {
    await using console = await open({ height: 1400 });
    const { page } = console;
    await console.show("#/locks?prefix=hostile%2F", "Locks");
    await page.locator(".grid-summary", { hasText: "200 locks" }).waitFor();
    const shown = new Set<string>();
    const grid = page.locator('[role="grid"]');
    for (let top = 0; top < 200 * 44; top += 1_000) {
      await grid.evaluate((element, to) => element.scrollTo({ top: to }), top);
      await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
      for (const name of await page.locator(".grid-body .cell-name").allTextContents()) shown.add(name);
    }
    expect([...shown].sort()).toEqual(names.map(printable).sort());
    await isHarmless(console);
    for (const name of names.slice(0, 42)) {
      await page.evaluate(
        (to) => {
          location.hash = to;
        },
        `#/lock/${encodeURIComponent(name)}`,
      );
      await page.waitForFunction((text) => document.querySelector("h1")?.textContent === text, printable(name));
      await page.locator(".holder-card").waitFor();
    }
    await isHarmless(console);
  });

  it("is text as purpose, reentry id and name of a client", async () => {
    await using console = await open();
    const { page } = console;
    const shown: string[] = [];
    for (const crowd of ["crowd/1", "crowd/2"]) {
      await console.show(`#/lock/${encodeURIComponent(crowd)}`, crowd);
      await page.waitForFunction(() => document.querySelectorAll(".holder-card").length === 100);
      shown.push(...(await page.locator(".holder-card dd > .text").allTextContents()));
      await isHarmless(console);
    }
    // Each once as purpose and once as reentry id.
    for (const text of texts) expect([text, shown.filter((one) => one === printable(text)).length]).toEqual([text, 2]);
    await console.show("#/graph", "Who waits for whom");
    await isHarmless(console);
  });

  it("is text as label and name of a client among the sessions", async () => {
    await using console = await open({ height: 2000 });
    const { page } = console;
    await console.show("#/sessions", "Sessions");
    await page.locator("#session-search").fill("label-");
    await page.locator(".grid-summary", { hasText: "20 sessions" }).waitFor();
    const labels = await page.locator(".grid-body .label").allTextContents();
    expect(labels.sort()).toEqual(texts.map((text, index) => printable(`label-${index % 10}=${text}`)).sort());
    const clients = await page.locator(".grid-body .client-name").allTextContents();
    expect(clients.sort()).toEqual(
      texts
        .filter((_, index) => index % 10 === 0)
        .map(printable)
        .sort(),
    );
    await isHarmless(console);
  });
});
