// Commands that must reach the server exactly once, whatever happens to the network, the page or the server.
//
// A tap fixes the command and its idempotency key, and IndexedDB keeps both before anything is sent. The outbox sends the
// commands of one order one after the other, and retries each until the answer is definitive: a 2xx, or a refusal (most 4xx).
// A refusal stays in the outbox until the user dismisses it, because the order may be in another state than the user
// believes. `delay` keeps a command back, so that the user can undo it: then nothing was ever sent. `unreachable` keeps it back
// longer: after the first attempt nobody knows whether the server has carried the command out.
//
// Several tabs: one tab sends, and a Web Lock decides which. A browser without Web Locks (a page from plain HTTP) relies
// on claims with an expiry; even a double send has one effect, because both have the same idempotency key.
import { ApiError, bodyOf } from './api/error';
import { send } from './api/client';
import { uuid } from './random';
import { committed, done } from './storage';
import { browserTimers, type Timers } from './timers';

/** Delay during which a command can be undone, in milliseconds. */
export const UNDO_DELAY = 5_000;
/** Maximum number of commands in an outbox. */
export const MAXIMUM_ENTRIES = 500;
/** Maximum number of orders whose commands are sent at the same time. */
export const MAXIMUM_PARALLEL = 4;
/** Minimum and maximum delay of a retry, in milliseconds. */
export const MINIMUM_RETRY = 500;
export const MAXIMUM_RETRY = 15_000;
/** Duration of a claim, in milliseconds. Only a browser without Web Locks waits for its end. */
export const CLAIM_DURATION = 30_000;

export interface Command {
  /** Commands with the same group are sent in order; usually the id of the order. */
  group: string;
  method: 'POST' | 'PUT' | 'DELETE';
  /** Path of the operation, such as `/v1/orders/ID/accept`. */
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
  /** What the page needs to show the command, such as the order's display code. The outbox does not read it. */
  subject?: unknown;
}

export type EntryState = 'waiting' | 'sending' | 'refused';

export interface Entry extends Command {
  sequence: number;
  /** The idempotency key, fixed at the tap. */
  key: string;
  state: EntryState;
  /** Time of the tap, and earliest time to send, by the device's clock. */
  created: number;
  due: number;
  attempts: number;
  claimed: number;
  problem?: { status: number; code: string; title: string; detail?: string };
}

export interface OutboxOptions {
  database: IDBDatabase;
  /** Whether this tab is the only one that may send. Without Web Locks, no tab knows. */
  exclusive: boolean;
  onChange: (entries: Entry[]) => void;
  /** Called with the answer of each command that the server carried out. */
  onDone?: (entry: Entry, body: unknown) => void;
  onUnauthenticated?: (error: ApiError) => void;
  /** Returns whether a command that was never sent waits longer, because the server does not answer. It can still be undone. */
  unreachable?: () => Promise<boolean>;
  /** Whether requests of this browser still are requests of the outbox's account. Asked directly before each request. */
  isAccount?: () => boolean;
  timers?: Timers;
  random?: () => number;
  fetch?: (request: Request) => Promise<Response>;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #timers: Timers;
  readonly #send: (request: Request) => Promise<Response>;
  #sending = false;
  #closed = false;
  readonly #active = new Set<string>();
  readonly #pausedUntil = new Map<string, number>();
  readonly #readyAt = new Map<string, number>();
  readonly #failures = new Map<string, number>();
  #cancelWake: (() => void) | undefined;
  #signedOut = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#timers = options.timers ?? browserTimers;
    this.#send = options.fetch ?? ((request) => send(request));
  }

  /** Returns all commands that are not done, oldest first. */
  async entries(): Promise<Entry[]> {
    return done(this.#store('readonly').getAll() as IDBRequest<Entry[]>);
  }

  /**
   * Keeps a command, and sends it after `delay`. Returns its idempotency key once IndexedDB has it. A caller that needs the key
   * earlier passes one of its own.
   */
  async put(command: Command, delay = 0, key = uuid()): Promise<string> {
    const created = this.#timers.wall();
    const entry: Omit<Entry, 'sequence'> = {
      ...command,
      key,
      state: 'waiting',
      created,
      due: created + delay,
      attempts: 0,
      claimed: 0,
    };
    const store = this.#store('readwrite');
    const finished = committed(store.transaction);
    if ((await done(store.count())) >= MAXIMUM_ENTRIES) {
      store.transaction.abort();
      await finished.catch(() => undefined);
      throw new Error('The outbox is full.');
    }
    store.add(entry);
    await finished;
    await this.changed();
    return entry.key;
  }

  /** Removes a command that was not sent yet. Returns whether it was removed; otherwise it may have an effect. */
  async undo(key: string): Promise<boolean> {
    return this.#removeIf(key, (entry) => entry.state === 'waiting' && entry.attempts === 0);
  }

  /** Removes a refused command. Returns whether it was removed. */
  async dismiss(key: string): Promise<boolean> {
    return this.#removeIf(key, (entry) => entry.state === 'refused');
  }

  /** Begins to send, in this tab. */
  start(): void {
    this.#sending = true;
    void this.changed();
  }

  /** Ends sending and every callback, for example at sign-out. A request that is under way ends by itself. */
  close(): void {
    this.#closed = true;
    this.#cancelWake?.();
  }

  /** Forgets pauses and sends what is due: after a sign-in, or when the device has a network again. */
  retryNow(): void {
    this.#pausedUntil.clear();
    this.#failures.clear();
    this.#signedOut = false;
    void this.changed();
  }

  /** Reads the outbox again, because this tab or another one changed it. */
  async changed(): Promise<void> {
    if (this.#closed) return;
    const entries = await this.entries().catch(() => undefined);
    if (entries === undefined || this.#closed) return;
    this.#options.onChange(entries);
    if (this.#sending) this.#schedule(entries);
  }

  #store(mode: IDBTransactionMode): IDBObjectStore {
    return this.#options.database.transaction('outbox', mode).objectStore('outbox');
  }

  async #removeIf(key: string, condition: (entry: Entry) => boolean): Promise<boolean> {
    let remove: boolean;
    try {
      const store = this.#store('readwrite');
      const finished = committed(store.transaction);
      const entry = await done(store.index('key').get(key) as IDBRequest<Entry | undefined>);
      remove = entry !== undefined && condition(entry);
      if (entry !== undefined && remove) store.delete(entry.sequence);
      await finished;
    } catch {
      // The storage failed, or the database is closed: the entry is still there.
      return false;
    }
    if (remove) await this.changed();
    return remove;
  }

  /** Sends the first command of each group that is due, and wakes up for the next one. */
  #schedule(entries: Entry[]): void {
    this.#cancelWake?.();
    this.#cancelWake = undefined;
    const states = new Set(entries.map(stateOf));
    for (const state of this.#readyAt.keys()) if (!states.has(state)) this.#readyAt.delete(state);
    if (this.#signedOut) return;
    const first = new Map<string, Entry>();
    for (const entry of entries) {
      if (entry.state !== 'refused' && !first.has(entry.group)) first.set(entry.group, entry);
    }
    let next = Number.POSITIVE_INFINITY;
    for (const entry of first.values()) {
      if (this.#active.has(entry.group) || this.#active.size >= MAXIMUM_PARALLEL) continue;
      const wait = this.#waitOf(entry);
      if (wait <= 0) void this.#deliver(entry);
      else next = Math.min(next, wait);
    }
    if (Number.isFinite(next)) this.#cancelWake = this.#timers.after(next, () => void this.changed());
  }

  /** Milliseconds until an entry may be sent. */
  #waitOf(entry: Entry): number {
    const now = this.#timers.monotonic();
    return Math.max(this.#ready(entry), this.#pausedUntil.get(entry.group) ?? 0) - now;
  }

  /**
   * Returns the monotonic time from which an entry may be sent. It is fixed when this tab first sees the entry in its
   * state, so that a change of the device's clock keeps no command back.
   */
  #ready(entry: Entry): number {
    const state = stateOf(entry);
    const known = this.#readyAt.get(state);
    if (known !== undefined) return known;
    const wall = this.#timers.wall();
    const foreign = entry.state === 'sending' && entry.claimed > 0 && !this.#options.exclusive;
    const rest = foreign
      ? Math.min(entry.claimed + CLAIM_DURATION - wall, CLAIM_DURATION)
      : Math.min(entry.due - wall, entry.due - entry.created);
    const ready = this.#timers.monotonic() + Math.max(0, rest);
    this.#readyAt.set(state, ready);
    return ready;
  }

  async #deliver(entry: Entry): Promise<void> {
    this.#active.add(entry.group);
    try {
      if (entry.attempts === 0 && (await this.#options.unreachable?.()) === true) {
        this.#pause(entry.group, undefined);
        return;
      }
      const claimed = this.#maySend() ? await this.#claim(entry.key) : undefined;
      if (claimed !== undefined) {
        await this.changed();
        if (this.#maySend()) await this.#attempt(claimed);
        else await this.#release(claimed);
      }
    } catch {
      // The storage failed, or the database is closed: the entry is still there, and the next start sends it.
      this.#pause(entry.group, undefined);
    } finally {
      this.#active.delete(entry.group);
      await this.changed();
    }
  }

  /** Whether a request would still carry the cookie of the outbox's account. Otherwise another account would give the command. */
  #maySend(): boolean {
    if (this.#closed) return false;
    if (this.#options.isAccount?.() === false) this.#signedOut = true;
    return !this.#signedOut;
  }

  /** Marks an entry as sent, unless it was undone or another tab claimed it. */
  async #claim(key: string): Promise<Entry | undefined> {
    const store = this.#store('readwrite');
    const finished = committed(store.transaction);
    const entry = await done(store.index('key').get(key) as IDBRequest<Entry | undefined>);
    const free = entry !== undefined && entry.state !== 'refused' && this.#waitOf(entry) <= 0;
    if (free) {
      entry.state = 'sending';
      entry.attempts += 1;
      entry.claimed = this.#timers.wall();
      store.put(entry);
    }
    await finished;
    return free ? entry : undefined;
  }

  async #attempt(entry: Entry): Promise<void> {
    let failure: ApiError | undefined;
    let body: unknown;
    try {
      const response = await this.#send(requestOf(entry));
      if (response.ok) body = await bodyOf(response);
      else failure = await ApiError.from(response);
    } catch (cause) {
      failure = cause instanceof ApiError ? cause : ApiError.local('network');
    }
    if (failure === undefined) {
      await this.#finish(entry);
      this.#report(entry, body);
      return;
    }
    if (!failure.retryable) {
      await this.#refuse(entry, failure);
      return;
    }
    if (failure.status === 401) {
      this.#signedOut = true;
      if (!this.#closed) this.#options.onUnauthenticated?.(failure);
    }
    this.#pause(entry.group, failure.retryAfter);
    await this.#release(entry);
  }

  /** Reports a command that is done. A page that fails to show it must not cause another attempt. */
  #report(entry: Entry, body: unknown): void {
    if (this.#closed) return;
    try {
      this.#options.onDone?.(entry, body);
    } catch (cause) {
      reportError(cause);
    }
  }

  #pause(group: string, retryAfter: number | undefined): void {
    const failures = this.#failures.get(group) ?? 0;
    this.#failures.set(group, failures + 1);
    const bound = Math.min(MAXIMUM_RETRY, MINIMUM_RETRY * 2 ** Math.min(failures + 1, 10));
    const jitter = MINIMUM_RETRY + (this.#options.random ?? Math.random)() * (bound - MINIMUM_RETRY);
    this.#pausedUntil.set(group, this.#timers.monotonic() + (retryAfter ?? 0) + jitter);
  }

  async #finish(entry: Entry): Promise<void> {
    this.#failures.delete(entry.group);
    this.#pausedUntil.delete(entry.group);
    const store = this.#store('readwrite');
    store.delete(entry.sequence);
    await committed(store.transaction);
  }

  async #refuse(entry: Entry, failure: ApiError): Promise<void> {
    this.#failures.delete(entry.group);
    const problem: Entry['problem'] = { status: failure.status, code: failure.code, title: failure.title };
    if (failure.detail !== undefined) problem.detail = failure.detail;
    await this.#write({ ...entry, state: 'refused', problem });
  }

  /** Ends the claim. The entry stays `sending`: the server may have carried it out, so it can no longer be undone. */
  async #release(entry: Entry): Promise<void> {
    await this.#write({ ...entry, claimed: 0 });
  }

  /** Writes an entry, unless another tab has finished or claimed it since this tab claimed it. */
  async #write(entry: Entry): Promise<void> {
    const store = this.#store('readwrite');
    const finished = committed(store.transaction);
    const stored = await done(store.get(entry.sequence) as IDBRequest<Entry | undefined>);
    if (stored?.attempts === entry.attempts) store.put(entry);
    await finished;
  }
}

function stateOf(entry: Entry): string {
  return `${entry.key} ${entry.state} ${entry.attempts} ${entry.claimed}`;
}

function requestOf(entry: Entry): Request {
  const headers = new Headers(entry.headers);
  headers.set('Idempotency-Key', entry.key);
  const init: RequestInit = { method: entry.method, headers };
  if (entry.body !== undefined) {
    headers.set('Content-Type', 'application/json');
    init.body = JSON.stringify(entry.body);
  }
  return new Request(new URL(entry.path, location.origin), init);
}
