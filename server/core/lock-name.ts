/**
 * Says what is wrong with a lock name, in words that name the rule; `undefined` if nothing is. A name is 1 to
 * 512 bytes of UTF-8, segments separated by "/", none of them empty, without control characters (C0, DEL, C1)
 * and lone surrogates, which have no UTF-8.
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

/** The number of bytes of a well-formed text in UTF-8. */
export function utf8Length(text: string): number {
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) bytes += 1;
    else if (unit < 0x800) bytes += 2;
    else if (unit >= 0xd800 && unit < 0xdc00) {
      bytes += 4;
      i++;
    } else bytes += 3;
  }
  return bytes;
}

/** Orders two texts as their UTF-8 bytes are ordered, which is by code point and not by JavaScript's units. */
export function compareBytewise(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // A surrogate stands for a code point above every other unit.
    const xHigh = x >= 0xd800 && x < 0xe000;
    const yHigh = y >= 0xd800 && y < 0xe000;
    return xHigh === yHigh ? x - y : xHigh ? 1 : -1;
  }
  return a.length - b.length;
}
