/** A block of code on a page. */
export interface Block {
  /** "ts", "sh", "text" and so on. */
  readonly language: string;
  readonly text: string;
}

/** The blocks of code of a page in Markdown, in order. */
export function blocksOf(page: string): readonly Block[] {
  return [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language, text]) => ({
    language: language!,
    text: text!,
  }));
}

/** Whether an output is the one shown, but for numbers. */
export function isAsShown(output: string, shown: string): boolean {
  const numbers = (text: string) => text.replace(/\d+/g, "0");
  return numbers(output) === numbers(shown);
}
