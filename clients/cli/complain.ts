/** Says on standard error what went wrong: one line, whatever the text. */
export function complain(text: string): void {
  process.stderr.write(`holdfast: ${text.trim().replace(/\s*\n\s*/g, " ")}\n`);
}
