export interface Together {
  /** Takes a line, to be written soon. */
  readonly write: (line: string) => void;
  /** Writes what has been taken. */
  readonly flush: () => void;
}

/**
 * Writes what comes in one turn of the event loop in one go. Standard error blocks the process for each write, and when
 * thousands of sessions end at once each says so: measured, that was two thirds of the time which their end took.
 * What is left when the process ends is written then; what a SIGKILL finds is lost.
 */
export function together(write: (text: string) => void): Together {
  let lines = "";
  const flush = (): void => {
    const text = lines;
    lines = "";
    if (text !== "") write(text);
  };
  process.once("exit", flush);
  return {
    flush,
    write(line) {
      if (lines === "") setImmediate(flush);
      lines += line;
    },
  };
}
