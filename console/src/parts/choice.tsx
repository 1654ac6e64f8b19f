import { useId } from "preact/hooks";

interface ChoiceProps<T extends string> {
  readonly label: string;
  readonly choices: readonly T[];
  readonly chosen: T;
  readonly choose: (choice: T) => void;
}

/** One of a few, all in sight. */
export function Choice<T extends string>({ label, choices, chosen, choose }: ChoiceProps<T>) {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend class="unseen">{label}</legend>
      {choices.map((choice) => (
        <label key={choice}>
          <input type="radio" name={name} checked={choice === chosen} onChange={() => choose(choice)} />
          <span>{choice}</span>
        </label>
      ))}
    </fieldset>
  );
}
