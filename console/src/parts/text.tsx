import { printable } from "../../../clients/cli/text.ts";

const ESCAPES = /(\\u\{[0-9a-f]+\}|\\\\)/;

/**
 * Text that somebody else chose: characters that hide, move or turn others are shown as `\u{...}`, set apart, and its
 * direction stays its own.
 */
export function Text({ children, class: name }: { children: string; class?: string }) {
  const parts = printable(children).split(ESCAPES);
  return (
    <bdi class={name === undefined ? "text" : `text ${name}`}>
      {parts.map((part, index) =>
        index % 2 === 1 ? (
          <span key={index} class="escape">
            {part}
          </span>
        ) : (
          part
        ),
      )}
    </bdi>
  );
}
