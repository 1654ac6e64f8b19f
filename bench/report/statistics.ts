/** The middle value; of an even number of values the mean of the two in the middle. NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const half = sorted.length / 2;
  return Number.isInteger(half) ? (sorted[half - 1]! + sorted[half]!) / 2 : sorted[Math.floor(half)]!;
}

/** The smallest of ascending values that so many percent of them do not exceed (nearest rank). NaN of none. */
export function percentile(ascending: readonly number[] | Float64Array, percent: number): number {
  return ascending[Math.max(1, Math.ceil((percent / 100) * ascending.length)) - 1] ?? Number.NaN;
}
