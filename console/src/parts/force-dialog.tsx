import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { printable } from "../../../clients/cli/text.ts";
import { type Outcome, takeAdminToken } from "../changes.ts";
import { live } from "../topics.ts";
import { useValue } from "../value.ts";
import { Icon } from "./icon.tsx";

interface ForceDialogProps {
  readonly title: string;
  /** The word on the button that does it. */
  readonly verb: string;
  /** Whom it hits, shown in both steps. */
  readonly victim: ComponentChildren;
  /** What it does, in a sentence or two. */
  readonly consequence: string;
  /** What must be typed in the second step. */
  readonly confirmation: string;
  readonly act: (reason: string) => Promise<Outcome>;
  readonly done: string;
  readonly close: () => void;
}

type Step =
  | { readonly kind: "reason" }
  | { readonly kind: "confirm"; readonly problem: string }
  | { readonly kind: "acting" }
  | { readonly kind: "done" };

const MAX_REASON_BYTES = 256;

/**
 * Asks twice before something is done by force: first why, then for the name to be typed. Nothing is sent before, and
 * Escape leaves at any time.
 */
export function ForceDialog(props: ForceDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  const [reason, setReason] = useState("");
  const [step, setStep] = useState<Step>({ kind: "reason" });
  useEffect(() => dialog.current!.showModal(), []);

  const act = async () => {
    setStep({ kind: "acting" });
    const outcome = await props.act(reason.trim());
    setStep(outcome.kind === "done" ? { kind: "done" } : { kind: "confirm", problem: outcome.message });
  };
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby={titleId} onClose={props.close}>
      <header class="dialog-head">
        <h2 id={titleId}>{props.title}</h2>
        <button type="button" class="icon-button" aria-label="Close" onClick={() => dialog.current!.close()}>
          <Icon name="close" />
        </button>
      </header>
      {step.kind === "done" ? (
        <Done text={props.done} close={() => dialog.current!.close()} />
      ) : (
        <>
          <div class="victim">{props.victim}</div>
          {step.kind === "reason" ? (
            <ReasonStep reason={reason} setReason={setReason} next={() => setStep({ kind: "confirm", problem: "" })} />
          ) : (
            <ConfirmStep {...props} step={step} back={() => setStep({ kind: "reason" })} act={act} />
          )}
        </>
      )}
    </dialog>
  );
}

interface ReasonStepProps {
  readonly reason: string;
  readonly setReason: (reason: string) => void;
  readonly next: () => void;
}

function ReasonStep({ reason, setReason, next }: ReasonStepProps) {
  const id = useId();
  const { access } = useValue(live.hello) ?? { access: { allowed: true, byToken: false } };
  const [token, setToken] = useState("");
  const size = new TextEncoder().encode(reason.trim()).length;
  const wantsToken = !access.allowed && access.byToken;
  const ready = size > 0 && size <= MAX_REASON_BYTES && (!wantsToken || token !== "");
  const submit = (event: Event) => {
    event.preventDefault();
    if (!ready) return;
    if (wantsToken) takeAdminToken(token);
    next();
  };
  return (
    <form onSubmit={submit}>
      <label for={`${id}-reason`}>Why?</label>
      <p class="hint" id={`${id}-hint`}>
        Its client is told, and it stands in the server's log.
      </p>
      <input
        id={`${id}-reason`}
        name="reason"
        type="text"
        autocomplete="off"
        aria-describedby={`${id}-hint`}
        aria-invalid={size > MAX_REASON_BYTES}
        value={reason}
        onInput={(event) => setReason(event.currentTarget.value)}
      />
      {size > MAX_REASON_BYTES && <p class="problem">That is {size} bytes; 256 are allowed.</p>}
      {wantsToken && (
        <>
          <label for={`${id}-token`}>Admin token</label>
          <input
            id={`${id}-token`}
            type="password"
            autocomplete="off"
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </>
      )}
      <footer class="dialog-foot">
        <button type="submit" class="button" disabled={!ready}>
          Continue
        </button>
      </footer>
    </form>
  );
}

interface ConfirmStepProps extends Pick<ForceDialogProps, "consequence" | "confirmation" | "verb"> {
  readonly step: Exclude<Step, { kind: "reason" | "done" }>;
  readonly back: () => void;
  readonly act: () => Promise<void>;
}

function ConfirmStep({ consequence, confirmation, verb, step, back, act }: ConfirmStepProps) {
  const id = useId();
  const [typed, setTyped] = useState("");
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current!.focus(), []);
  const ready = typed.trim() === confirmation && step.kind === "confirm";
  const submit = (event: Event) => {
    event.preventDefault();
    // What can go wrong is an outcome.
    if (ready) void act();
  };
  return (
    <form onSubmit={submit}>
      <p class="consequence">{consequence}</p>
      <label for={id}>
        Type <code class="confirmation">{confirmation}</code> to go on
      </label>
      <input
        id={id}
        ref={input}
        name="confirmation"
        type="text"
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        value={typed}
        onInput={(event) => setTyped(event.currentTarget.value)}
      />
      <p class="problem" role="alert">
        {step.kind === "confirm" ? printable(step.problem) : ""}
      </p>
      <footer class="dialog-foot">
        <button type="button" class="button button-quiet" onClick={back}>
          Back
        </button>
        <button type="submit" class="button button-danger" disabled={!ready}>
          {step.kind === "acting" ? "Asking …" : verb}
        </button>
      </footer>
    </form>
  );
}

function Done({ text, close }: { text: string; close: () => void }) {
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => button.current!.focus(), []);
  return (
    <>
      <p class="done" role="status">
        <Icon name="check" /> {text}
      </p>
      <footer class="dialog-foot">
        <button type="button" class="button" ref={button} onClick={close}>
          Close
        </button>
      </footer>
    </>
  );
}

/** What to type to confirm: the name, if it can be typed as it is shown, else a few digits that stand beside it. */
export function typable(name: string, instead: string): string {
  return /^[\x21-\x7e]{1,64}$/.test(name) && !name.includes("\\") ? name : instead;
}
