/** A call that was asked for at a later time. */
export interface Wake {
  /** It is not wanted any more, and nothing of it is kept. Harmless once it was made, or cancelled. */
  cancel(): void;
}
