/**
 * Says what is wrong with a lock name, in words that name the rule; `undefined` if nothing is. A name is 1 to
 * 512 bytes of UTF-8, segments separated by "/", none of them empty, without control characters and lone
 * surrogates. The server has the last word; asking here first keeps a bad name from travelling.
 */
export function lockNameProblem(name: string): string | undefined {
  if (name === "") return "is empty";
  if (!name.isWellFormed()) return "is not valid Unicode";
  if (utf8Length(name) > 512) return "is longer than 512 bytes of UTF-8";
  if (name.startsWith("/") || name.endsWith("/") || name.includes("//")) return 'has an empty segment between "/"';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for.
  if (/[\u0000-\u001f\u007f-\u009f]/.test(name)) return "contains a control character";
  return undefined;
}

/** The number of bytes of a text in UTF-8. */
export function utf8Length(text: string): number {
  return Buffer.byteLength(text, "utf8");
}
