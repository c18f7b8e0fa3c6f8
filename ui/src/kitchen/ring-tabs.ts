// One tab of a browser rings for all its tabs of a board.
//
// A Web Lock elects the ringing tab. When this tab closes or crashes, the browser grants the lock to the next tab at once. Only
// a tab that may play sound is a candidate. The ringing tab notifies the other tabs every second. The lock holder may be stopped,
// or may not have the new order yet. Therefore a tab that must ring also rings if it receives no notification for `PATIENCE`:
// two tabs may then ring, which is better than none. In a browser without Web Locks, every tab rings.
import { uuid } from '../lib/random';
import { browserTimers, type Timers } from '../lib/timers';

/** Interval of the notifications of the ringing tab, in milliseconds. */
export const SIGN_INTERVAL = 1_000;
/**
 * Time without a notification after which another tab rings too, in milliseconds. Browsers delay the timers of hidden tabs by a
 * second.
 */
export const PATIENCE = 4_000;

/** The notification that a tab rings now. */
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

  /** Whether this tab rings. */
  get mine(): boolean {
    return this.#locks === undefined || this.#holds || this.#substitute;
  }

  /** Sets whether this tab may play sound, and whether an order rings. Call it on every change. */
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
    // Only one substitute continues to ring.
    if (!this.#substitute || (!holds && from > this.#id)) return;
    this.#substitute = false;
    this.#options.onChange();
  }
}
