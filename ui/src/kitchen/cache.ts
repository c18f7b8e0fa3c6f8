// What the device keeps of a board for a reload without a network.
import { clock } from '../lib/clock';
import { getCached, putCached } from '../lib/storage';
import type { Notice } from './notices';
import type { Snapshot } from './types';

/** Minimum time between two writes, in milliseconds. */
export const WRITE_INTERVAL = 10_000;

interface Kept {
  snapshot: Snapshot;
  /** The server's time minus the device's, so that countdowns are right before the server answers. */
  offset: number;
}

function isKept(value: unknown): value is Kept {
  return typeof value === 'object' && value !== null && 'snapshot' in value && 'offset' in value;
}

export class BoardCache {
  readonly #database: IDBDatabase;
  readonly #key: string;
  readonly #noticesKey: string;
  #written = Number.NEGATIVE_INFINITY;

  constructor(database: IDBDatabase, restaurant: string) {
    this.#database = database;
    this.#key = `board-${restaurant}`;
    this.#noticesKey = `notices-${restaurant}`;
  }

  /** Returns the last snapshot, and sets the clock if the server has not done so. */
  async read(): Promise<Snapshot | undefined> {
    const kept = await getCached(this.#database, this.#key).catch(() => undefined);
    if (!isKept(kept)) return undefined;
    if (!clock.synchronized) clock.observe(new Date(Date.now() + kept.offset).toISOString());
    return kept.snapshot;
  }

  /** Keeps a snapshot; not more often than the interval, unless `now`. */
  write(take: () => Snapshot | undefined, now = false): void {
    const time = performance.now();
    if (!now && time - this.#written < WRITE_INTERVAL) return;
    const snapshot = take();
    if (snapshot === undefined) return;
    this.#written = time;
    const kept: Kept = { snapshot, offset: clock.now() - Date.now() };
    // A full disk or an ended session: the board works without it.
    putCached(this.#database, this.#key, kept).catch(() => undefined);
  }

  /** Returns the notices that nobody has dismissed. */
  async readNotices(): Promise<Notice[]> {
    const kept = await getCached(this.#database, this.#noticesKey).catch(() => undefined);
    return Array.isArray(kept) ? (kept as Notice[]) : [];
  }

  writeNotices(notices: Notice[]): void {
    putCached(this.#database, this.#noticesKey, notices).catch(() => undefined);
  }
}
