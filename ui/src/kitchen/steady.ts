// Keeps the cards under a finger although bars above them appear and disappear.
//
// While a finger is down, and for a moment after it, the place of the bars keeps its size. `places.ts` protects a person
// who taps later, but decided before the cards moved.
import type { Timers } from '../lib/timers';
import { browserTimers } from '../lib/timers';

/** Time before a tap in which a person no longer corrects its place, in milliseconds. */
export const REACTION = 500;
/** Maximum time for which taps keep the place of the bars, in milliseconds. */
export const MAXIMUM_FREEZE = 5_000;

export class Steady {
  readonly #onFreeze: (frozen: boolean) => void;
  readonly #timers: Timers;
  #since: number | undefined;
  #cancel: (() => void) | undefined;

  /** Calls `onFreeze` when the place of the bars must keep its size, and when it may change again. */
  constructor(onFreeze: (frozen: boolean) => void, timers: Timers = browserTimers) {
    this.#onFreeze = onFreeze;
    this.#timers = timers;
  }

  /** A finger touches the page. */
  down(): void {
    const now = this.#timers.monotonic();
    if (this.#since === undefined) {
      this.#since = now;
      this.#onFreeze(true);
    }
    this.#thawAfter(MAXIMUM_FREEZE);
  }

  /** The finger leaves the page. */
  up(): void {
    if (this.#since !== undefined) this.#thawAfter(REACTION);
  }

  close(): void {
    this.#cancel?.();
  }

  #thawAfter(delay: number): void {
    this.#cancel?.();
    const left = MAXIMUM_FREEZE - (this.#timers.monotonic() - (this.#since ?? 0));
    this.#cancel = this.#timers.after(Math.max(0, Math.min(delay, left)), () => {
      this.#since = undefined;
      this.#onFreeze(false);
    });
  }
}
