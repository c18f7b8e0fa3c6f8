// Which columns of a wide screen are narrow: those without orders make room for the others.
import { COLUMNS, type ColumnName } from './view';

/** Time for which a column stays wide after its last order has left, so that cards rarely change their places, in ms. */
export const STAYS_WIDE = 30_000;

export class Widths {
  readonly #emptySince = new Map<ColumnName, number>();
  /** Columns that have had an order. A column that never had one is narrow at once. */
  readonly #used = new Set<ColumnName>();

  /** Returns the narrow columns at a time. If no column has orders, none is narrow. */
  narrow(counts: Readonly<Record<ColumnName, number>>, now: number): ReadonlySet<ColumnName> {
    for (const name of COLUMNS) {
      if (counts[name] > 0) {
        this.#used.add(name);
        this.#emptySince.delete(name);
      } else if (!this.#emptySince.has(name)) {
        this.#emptySince.set(name, this.#used.has(name) ? now : Number.NEGATIVE_INFINITY);
      }
    }
    const narrow = COLUMNS.filter((name) => now - (this.#emptySince.get(name) ?? now) >= STAYS_WIDE);
    return new Set(narrow.length === COLUMNS.length ? [] : narrow);
  }
}
