import { span } from "../../../clients/cli/text.ts";

interface ValidityProps {
  /** By the server's clock. `undefined`: unknown to the server that was asked. */
  readonly validUntilMs: number | undefined;
  readonly ttlMs: number;
  readonly nowMs: number;
}

/** How long a session is still safe, as a bar that its client's heartbeats fill again. */
export function Validity({ validUntilMs, ttlMs, nowMs }: ValidityProps) {
  if (validUntilMs === undefined) return <span class="quiet">known elsewhere</span>;
  const leftMs = Math.max(0, validUntilMs - nowMs);
  const share = ttlMs === 0 ? 0 : Math.min(1, leftMs / ttlMs);
  return (
    <span class={`validity ${share < 0.34 ? "tone-trouble" : ""}`}>
      <span class="validity-bar" aria-hidden="true">
        <span style={{ width: `${100 * share}%` }} />
      </span>
      <span class="validity-time">{span(Math.round(leftMs / 1_000) * 1_000)}</span>
    </span>
  );
}
