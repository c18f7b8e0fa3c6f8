// Keeps the cards under a finger although bars above them appear and disappear.
//
// While a finger is down, and for a moment after it, the place of the bars keeps its size. A person who taps later, but
// decided before the cards moved, means what was under the finger then: the tap reaches it at its new place.
import type { Timers } from '../lib/timers';
import { browserTimers } from '../lib/timers';

/** Time before a tap in which a person no longer corrects its place, in milliseconds. */
export const REACTION = 500;
/** Maximum time for which taps keep the place of the bars, in milliseconds. */
export const MAXIMUM_FREEZE = 5_000;

export class Steady {
  readonly #onFreeze: (frozen: boolean) => void;
  readonly #timers: Timers;
  #shifts: { at: number; by: number }[] = [];
  #aim = 0;
  #since: number | undefined;
  #cancel: (() => void) | undefined;

  /** Calls `onFreeze` when the place of the bars must keep its size, and when it may change again. */
  constructor(onFreeze: (frozen: boolean) => void, timers: Timers = browserTimers) {
    this.#onFreeze = onFreeze;
    this.#timers = timers;
  }

  /** Notes that the cards moved down by a number of pixels. */
  shifted(by: number): void {
    if (by !== 0) this.#shifts.push({ at: this.#timers.monotonic(), by });
  }

  /** A finger touches the page. */
  down(): void {
    const now = this.#timers.monotonic();
    this.#shifts = this.#shifts.filter(({ at }) => now - at < REACTION);
    this.#aim = this.#shifts.reduce((sum, { by }) => sum + by, 0);
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

  /** Returns the distance in pixels from the place of a tap to what the person meant, once. */
  takeAim(): number {
    const aim = this.#aim;
    this.#aim = 0;
    return aim;
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
