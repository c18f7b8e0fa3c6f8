// One tab of a browser rings for all its tabs of a board.
//
// A Web Lock decides which tab: when that tab closes or crashes, the browser gives the lock to the next one at once. Only a
// tab that the browser lets play takes part. The tab that rings tells the others so every second. A tab that must ring and
// hears no such message, because the other tab stands still or knows less, rings too: twice is better than never. In a
// browser without Web Locks every tab rings.
import { uuid } from '../lib/random';
import { browserTimers, type Timers } from '../lib/timers';

/** Interval of the messages of the tab that rings, in milliseconds. */
export const SIGN_INTERVAL = 1_000;
/** Silence after which another tab rings too, in milliseconds. Browsers delay the timers of hidden tabs by a second. */
export const PATIENCE = 4_000;

/** Says that a tab rings now. */
interface Sign {
  from: string;
  /** Whether the tab has the lock. */
  holds: boolean;
}

type Channel = Pick<BroadcastChannel, 'postMessage' | 'close' | 'onmessage'>;

export interface TurnOptions {
  /** Identifies the board and the account. */
  name: string;
  /** Called when `mine` has changed. */
  onChange: () => void;
  timers?: Timers;
  id?: string;
  locks?: Pick<LockManager, 'request'> | undefined;
  channel?: Channel;
}

export class RingTurn {
  readonly #options: TurnOptions;
  readonly #timers: Timers;
  readonly #id: string;
  readonly #locks: Pick<LockManager, 'request'> | undefined;
  readonly #channel: Channel;
  #candidacy: AbortController | undefined;
  #holds = false;
  #substitute = false;
  #heard = 0;
  #cancelTick: (() => void) | undefined;

  constructor(options: TurnOptions) {
    this.#options = options;
    this.#timers = options.timers ?? browserTimers;
    this.#id = options.id ?? uuid();
    this.#locks = 'locks' in options ? options.locks : (navigator.locks as LockManager | undefined);
    this.#channel = options.channel ?? new BroadcastChannel(options.name);
    this.#channel.onmessage = (event: MessageEvent<Sign>) => this.#hear(event.data);
  }

  /** Whether this tab is the one that rings. */
  get mine(): boolean {
    return this.#locks === undefined || this.#holds || this.#substitute;
  }

  /** States whether the browser lets this tab play, and whether orders want to ring. Call it on every change. */
  follow(able: boolean, ringing: boolean): void {
    if (able && this.#candidacy === undefined) this.#candidate();
    else if (!able) this.#withdraw();
    if (able && ringing) {
      if (this.#cancelTick !== undefined) return;
      this.#heard = this.#timers.monotonic();
      this.#tick();
    } else {
      this.#cancelTick?.();
      this.#cancelTick = undefined;
      this.#substitute = false;
    }
  }

  close(): void {
    this.follow(false, false);
    this.#channel.close();
  }

  #candidate(): void {
    const candidacy = new AbortController();
    const { signal } = candidacy;
    this.#candidacy = candidacy;
    this.#locks
      ?.request(this.#options.name, { signal }, () => {
        if (signal.aborted) return undefined;
        this.#holds = true;
        this.#options.onChange();
        return new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      })
      .catch(() => undefined);
  }

  #withdraw(): void {
    this.#candidacy?.abort();
    this.#candidacy = undefined;
    this.#holds = false;
  }

  #tick(): void {
    this.#cancelTick = this.#timers.after(SIGN_INTERVAL, () => this.#tick());
    if (!this.mine && this.#timers.monotonic() - this.#heard >= PATIENCE) {
      this.#substitute = true;
      this.#options.onChange();
    }
    if (this.mine) this.#channel.postMessage({ from: this.#id, holds: this.#holds } satisfies Sign);
  }

  #hear({ from, holds }: Sign): void {
    this.#heard = this.#timers.monotonic();
    // Of two substitutes, one stays.
    if (!this.#substitute || (!holds && from > this.#id)) return;
    this.#substitute = false;
    this.#options.onChange();
  }
}
