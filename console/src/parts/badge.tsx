import type { Said } from "../words.ts";

/** A word in its tone. The colour says nothing that the word does not. */
export function Badge({ said: { word, tone } }: { said: Said }) {
  return <span class={`badge tone-${tone}`}>{word}</span>;
}
