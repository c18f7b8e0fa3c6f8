// Collects the changes that the feed reports, and calls the views about them: at most once a second, and only while a person
// sees the page. Too many changes, and a connection after a gap, make the views read again as a whole.
import { browserTimers, type Timers } from '../lib/timers';
import { statusesAfter } from './route';

/** Interval in which changes are passed on, in milliseconds. */
export const INTERVAL = 1_000;
/** Maximum number of changed orders that are kept between two calls of the views. */
export const MAXIMUM_CHANGES = 500;
/**
 * Time for which a view waits for the first connection before it reads, in milliseconds. A view that reads once the feed is
 * connected misses nothing; a view that has read before must read again.
 */
export const CONNECTION_PATIENCE = 1_000;

export interface Change {
  order: string;
  restaurant: string;
  /** Type of the order's last event that may have changed its status, or of its last event. */
  type: string;
  /** Number of the order's last event. */
  version: number;
}

/** Returns what an event of the feed says; `undefined` if it is about no order. */
export function changeOf(type: string, event: object): Change | undefined {
  const { partitionkey: order, subject, sequence } = event as Partial<Record<string, unknown>>;
  if (typeof order !== 'string') return undefined;
  const version = typeof sequence === 'string' ? Number.parseInt(sequence, 10) : Number.NaN;
  // An event without a number counts as newer than everything that was read.
  return {
    order,
    restaurant: typeof subject === 'string' ? subject : '',
    type,
    version: Number.isNaN(version) ? Number.POSITIVE_INFINITY : version,
  };
}

export interface Listener {
  /** Reads what the view shows: once at the start, and `again` whenever changes may be missing. */
  read: (again: boolean) => void;
  /** Some orders changed. */
  changed: (changes: readonly Change[]) => void;
}

interface Follower extends Listener {
  hasRead: boolean;
}

interface Options {
  timers?: Timers;
  isVisible: () => boolean;
}

export class Changes {
  readonly #timers: Timers;
  readonly #isVisible: () => boolean;
  readonly #followers = new Set<Follower>();
  readonly #changes = new Map<string, Change>();
  /** Whether changes are missing, so that the views must read again. */
  #missing = false;
  #connected = false;
  #cancel: (() => void) | undefined;

  constructor({ timers = browserTimers, isVisible }: Options) {
    this.#timers = timers;
    this.#isVisible = isVisible;
  }

  /** Lets a view read, and calls it about changes. Returns the function that ends this. */
  follow(listener: Listener): () => void {
    const follower: Follower = { ...listener, hasRead: false };
    this.#followers.add(follower);
    let cancel: (() => void) | undefined;
    if (this.#connected) this.#start(follower);
    else {
      cancel = this.#timers.after(CONNECTION_PATIENCE, () => {
        if (!follower.hasRead) this.#start(follower);
      });
    }
    return () => {
      cancel?.();
      this.#followers.delete(follower);
    };
  }

  #start(follower: Follower): void {
    follower.hasRead = true;
    follower.read(false);
  }

  /** The feed is connected: what happened before was not reported. */
  connected(): void {
    this.#connected = true;
    const early = [...this.#followers].filter((follower) => follower.hasRead);
    for (const follower of this.#followers) if (!follower.hasRead) this.#start(follower);
    if (early.length === 0) return;
    this.#missing = true;
    if (this.#isVisible()) this.#pass(early);
  }

  /** An order changed. */
  add(change: Change): void {
    const earlier = this.#changes.get(change.order);
    const keepsStatus = statusesAfter(change.type)?.length === 0;
    this.#changes.set(change.order, earlier !== undefined && keepsStatus ? { ...change, type: earlier.type } : change);
    if (this.#changes.size > MAXIMUM_CHANGES) {
      this.#changes.clear();
      this.#missing = true;
    }
    this.#cancel ??= this.#timers.after(INTERVAL, () => {
      this.#cancel = undefined;
      if (this.#isVisible()) this.#pass();
    });
  }

  /** A person sees the page again. */
  shown(): void {
    if (this.#isVisible() && (this.#missing || this.#changes.size > 0)) this.#pass();
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #pass(followers: readonly Follower[] = [...this.#followers]): void {
    const [missing, changes] = [this.#missing, [...this.#changes.values()]];
    this.#missing = false;
    this.#changes.clear();
    if (!missing && changes.length === 0) return;
    for (const follower of followers) {
      if (missing) follower.read(true);
      else follower.changed(changes);
    }
  }
}
