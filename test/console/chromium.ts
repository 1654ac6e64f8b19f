import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

const EXECUTABLE = "/usr/bin/chromium";
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Where pictures of the views are left: git ignores it. */
export const PICTURES = join(import.meta.dirname, "../../test-output/console");

/** Starts Debian's Chromium, installing it first where it is missing and this is root. */
export async function startBrowser(): Promise<Browser> {
  install();
  mkdirSync(PICTURES, { recursive: true });
  return chromium.launch({ executablePath: EXECUTABLE, args: FLAGS, timeout: 60_000 });
}

function install(): void {
  if (existsSync(EXECUTABLE)) return;
  if (process.getuid?.() !== 0) throw new Error("Chromium is needed: apt-get install chromium");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  execFileSync("apt-get", ["update"], { stdio: "ignore", env });
  execFileSync("apt-get", ["install", "-y", "--no-install-recommends", "chromium"], { stdio: "ignore", env });
}

export interface Look {
  readonly scheme?: "light" | "dark";
  readonly width?: number;
  readonly height?: number;
}

/** A page of the console, and everything wrong that it ever said. */
export interface ConsolePage extends AsyncDisposable {
  readonly page: Page;
  readonly complaints: readonly string[];
  /** Goes to a view by its address behind "#", and waits until that is what is shown. */
  show(hash: string, heading: string): Promise<void>;
}

/** Opens the console as somebody would, with nothing remembered. */
export async function openConsole(browser: Browser, address: string, look: Look = {}): Promise<ConsolePage> {
  const { scheme = "light", width = 1280, height = 860 } = look;
  const context = await browser.newContext({
    colorScheme: scheme,
    viewport: { width, height },
    reducedMotion: "reduce",
  });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  const complaints = await complaintsOf(context, page);
  await page.goto(`http://${address}/`);
  return {
    page,
    complaints,
    async show(hash, heading) {
      await page.evaluate((to) => {
        location.hash = to;
      }, hash);
      await page.locator("h1", { hasText: heading }).waitFor();
    },
    [Symbol.asyncDispose]: () => context.close(),
  };
}

/** Errors, warnings, refusals by the content security policy, requests that failed, and dialogs, as they come. */
async function complaintsOf(context: BrowserContext, page: Page): Promise<string[]> {
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("response", (response) => {
    if (response.status() >= 400) complaints.push(`${response.status()}: ${response.url()}`);
  });
  await context.exposeFunction("tellOfViolation", (violation: string) => complaints.push(`policy: ${violation}`));
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
      const tell = (window as unknown as { tellOfViolation(text: string): void }).tellOfViolation;
      tell(`${violatedDirective} ${blockedURI}`);
    });
  });
  return complaints;
}
