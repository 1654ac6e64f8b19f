import { useEffect, useRef } from "preact/hooks";
import { shortcuts } from "../keys.ts";
import { keysOn } from "../theme.ts";
import { useValue } from "../value.ts";
import { Icon } from "./icon.tsx";

/** What keys do, and how to switch single ones off. */
export function HelpDialog({ close }: { close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const on = useValue(keysOn) === "on";
  useEffect(() => dialog.current!.showModal(), []);
  return (
    <dialog ref={dialog} class="dialog help" aria-labelledby="help-title" onClose={close}>
      <header class="dialog-head">
        <h2 id="help-title">Keys</h2>
        <button type="button" class="icon-button" aria-label="Close" onClick={() => dialog.current!.close()}>
          <Icon name="close" />
        </button>
      </header>
      <dl class="keys">
        {shortcuts.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              {keys.split(" ").map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <label class="switch">
        <input
          type="checkbox"
          checked={on}
          onChange={(event) => keysOn.set(event.currentTarget.checked ? "on" : "off")}
        />
        Single keys do something
      </label>
    </dialog>
  );
}
