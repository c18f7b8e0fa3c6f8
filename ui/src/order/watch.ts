// Polls whether the restaurant takes orders, because no stream for customers reports this.
import { browserTimers, type Timers } from '../lib/timers';

/** Interval between two reads while the restaurant takes no orders, in milliseconds. */
export const CLOSED_INTERVAL = 15_000;
/** Number of intervals between two reads while the restaurant takes orders. */
export const OPEN_INTERVALS = 4;
/** Minimum time between two reads, in milliseconds: a person may change tabs often. */
export const MINIMUM_PAUSE = 3_000;

interface Options {
  /** Reads the restaurant. Returns the pause that the server asks for, in milliseconds. */
  read: () => Promise<number>;
  isOpen: () => boolean;
  timers?: Timers;
  hidden?: () => boolean;
}

export class Watch {
  readonly #read: () => Promise<number>;
  readonly #isOpen: () => boolean;
  readonly #timers: Timers;
  readonly #hidden: () => boolean;
  #cancel: (() => void) | undefined;
  #reading = false;
  #stopped = false;
  /** Whether a read was requested while another one was under way. */
  #again = false;
  /** Number of intervals since the last read. */
  #passed = 0;
  /** Earliest time of the next read. */
  #earliest = 0;

  constructor({ read, isOpen, timers = browserTimers, hidden = () => document.visibilityState === 'hidden' }: Options) {
    this.#read = read;
    this.#isOpen = isOpen;
    this.#timers = timers;
    this.#hidden = hidden;
    this.#wait();
  }

  /** Reads at once. Call it when the page becomes visible or online. */
  now(): void {
    if (this.#reading) this.#again = true;
    else if (!this.#hidden()) this.#after(Math.max(0, this.#earliest - this.#timers.monotonic()), () => void this.#run());
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  #after(delay: number, action: () => void): void {
    this.#cancel?.();
    if (!this.#stopped) this.#cancel = this.#timers.after(delay, action);
  }

  #wait(): void {
    this.#after(CLOSED_INTERVAL, () => {
      this.#passed += 1;
      const isDue = !this.#isOpen() || this.#passed >= OPEN_INTERVALS;
      if (isDue && !this.#hidden() && this.#timers.monotonic() >= this.#earliest) void this.#run();
      else this.#wait();
    });
  }

  async #run(): Promise<void> {
    this.#reading = true;
    this.#again = false;
    this.#passed = 0;
    const pause = await this.#read().finally(() => (this.#reading = false));
    this.#earliest = this.#timers.monotonic() + Math.max(MINIMUM_PAUSE, pause);
    this.#wait();
    if (this.#again) this.now();
  }
}
