// Actions on several entries. Each entry has its own outcome, and one failure stops no other entry.

export type Outcome<T> = { entry: T; ok: true } | { entry: T; ok: false; error: unknown };

/** Maximum number of actions of one run that are under way at the same time. */
export const CONCURRENCY = 4;
/** Maximum number of entries of one bulk action: so many a person can still review. */
export const MAXIMUM_ENTRIES = 100;

/**
 * Runs `action` for every entry, at most `CONCURRENCY` at a time. Returns the outcomes in the order of the entries;
 * `progress` receives the number of finished actions.
 */
export async function runAll<T>(
  entries: readonly T[],
  action: (entry: T) => Promise<unknown>,
  progress: (finished: number) => void = () => undefined,
): Promise<Outcome<T>[]> {
  const outcomes: Outcome<T>[] = [];
  let next = 0;
  let finished = 0;
  async function work(): Promise<void> {
    while (next < entries.length) {
      const index = next++;
      const entry = entries[index] as T;
      try {
        await action(entry);
        outcomes[index] = { entry, ok: true };
      } catch (error) {
        outcomes[index] = { entry, ok: false, error };
      }
      progress(++finished);
    }
  }
  await Promise.all(Array.from({ length: Math.min(CONCURRENCY, entries.length) }, work));
  return outcomes;
}

/** Counts the outcomes of a run. */
export function countOutcomes(outcomes: readonly { ok: boolean }[]): { done: number; failed: number } {
  const done = outcomes.filter((outcome) => outcome.ok).length;
  return { done, failed: outcomes.length - done };
}
