// A list that changes while a person reads it: rows change in place and keep their places. New entries wait until the
// person asks for them.

export interface Entry {
  id: string;
  version: number;
}

export interface Difference<E extends Entry> {
  /** The shown rows, each in its newest version, in the same places. */
  rows: E[];
  /** Entries that are not shown yet. */
  waiting: E[];
  /** Whether a row changed. */
  changed: boolean;
}

/** Applies what was read to what is shown. An older version than the shown one arrived late and is ignored. */
export function merge<E extends Entry>(shown: readonly E[], waiting: readonly E[], read: readonly E[]): Difference<E> {
  const latest = new Map(read.map((entry) => [entry.id, entry]));
  let changed = false;
  const rows = shown.map((row) => {
    const next = latest.get(row.id);
    latest.delete(row.id);
    if (next === undefined || next.version <= row.version) return row;
    changed = true;
    return next;
  });
  const others = new Map(waiting.map((entry) => [entry.id, entry]));
  for (const entry of latest.values()) {
    const known = others.get(entry.id);
    if (known === undefined || known.version < entry.version) others.set(entry.id, entry);
  }
  return { rows, waiting: [...others.values()], changed };
}
