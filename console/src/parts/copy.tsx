import { useState } from "preact/hooks";
import { Icon } from "./icon.tsx";

/** Copies a text, and says so for a moment. `what` names it to those who do not see it. */
export function Copy({ text, what }: { text: string; what: string }) {
  const [copied, setCopied] = useState(false);
  const copy = () => {
    navigator.clipboard?.writeText(text).then(
      () => {
        setCopied(true);
        setTimeout(() => setCopied(false), 1_500);
      },
      () => undefined,
    );
  };
  return (
    <button type="button" class="copy" aria-label={copied ? `${what} copied` : `Copy ${what}`} onClick={copy}>
      <Icon name={copied ? "check" : "copy"} size={14} />
    </button>
  );
}
