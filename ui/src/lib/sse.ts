// A stream of server-sent events that stays connected, and that states whether its data is up to date.
//
// The stream reads the response of `fetch` instead of an `EventSource`, because an `EventSource` hides the status and
// `Retry-After` of a refusal, and decides itself when it reconnects.
//
// Silence: the server sends at least a heartbeat every 10 s. After 25 s without a message the data is stale, and the
// stream reconnects. A suspended tab and a print dialog stop the page's timers, but not the messages: they wait in the
// browser. So the first check after such a stop only gives them time to arrive.
import { ApiError } from './api/error';
import { anySignal } from './signals';
import { EventParser, type StreamEvent } from './sse-parser';
import { browserTimers, type Timers } from './timers';

/** Silence after which the data is stale and the stream reconnects, in milliseconds. */
export const SILENCE_LIMIT = 25_000;
/** Interval of the checks for silence, in milliseconds. */
export const CHECK_INTERVAL = 1_000;
/** Lateness of a check that proves that the page was suspended, in milliseconds. */
export const SUSPENSION = 5_000;
/** Minimum and maximum delay of a reconnection, in milliseconds. */
export const MINIMUM_DELAY = 500;
export const MAXIMUM_DELAY = 10_000;
/** Maximum duration until the response begins, in milliseconds. */
export const CONNECT_TIMEOUT = 10_000;

/**
 * - `connecting`: no message has arrived yet.
 * - `live`: the data is up to date. A lost connection stays `live` while its first reconnection is under way.
 * - `stale`: messages may be missing since `since` (monotonic milliseconds).
 * - `offline`: as `stale`, and the device itself has no network.
 * - `ended`: the server refuses the stream; only `error` says what helps.
 */
export type StreamState =
  | { status: 'connecting' }
  | { status: 'live' }
  | { status: 'stale'; since: number }
  | { status: 'offline'; since: number | undefined }
  | { status: 'ended'; error: ApiError };

export interface StreamOptions {
  /** Address of the stream; a function is called for each connection. */
  url: string | (() => string);
  /** Called for each message, except `bye`, with which the server ends the connection. */
  onMessage: (event: StreamEvent) => void;
  onState: (state: StreamState) => void;
  /** Called whenever a connection is established, before its first message. */
  onConnect?: () => void;
  /** What the page shows already, if another stream came before this one. */
  initial?: { state: StreamState; lastMessage: number };
  timers?: Timers;
  random?: () => number;
  open?: (url: string, signal: AbortSignal) => Promise<Response>;
  online?: () => boolean;
}

/** Returns the delay before reconnection number `attempt` (from 0): full jitter between 0.5 s and a bound up to 10 s. */
export function reconnectDelay(attempt: number, random: number): number {
  const bound = Math.min(MAXIMUM_DELAY, 1_000 * 2 ** Math.min(attempt, 10));
  return MINIMUM_DELAY + random * (bound - MINIMUM_DELAY);
}

function addressOf(url: string | (() => string)): string {
  return typeof url === 'string' ? url : url();
}

async function openStream(url: string, signal: AbortSignal): Promise<Response> {
  const request = new Request(url, { headers: { accept: 'text/event-stream' }, signal });
  // A timeout of the whole call would end the stream, so only the wait for the response has one.
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), CONNECT_TIMEOUT);
  try {
    return await fetch(request, {
      signal: anySignal(signal, timeout.signal),
      credentials: 'same-origin',
      cache: 'no-store',
    });
  } finally {
    clearTimeout(timer);
  }
}

export class EventStream {
  readonly #options: StreamOptions;
  readonly #timers: Timers;
  readonly #random: () => number;
  readonly #open: (url: string, signal: AbortSignal) => Promise<Response>;
  readonly #online: () => boolean;
  #state: StreamState = { status: 'connecting' };
  #connection: AbortController | undefined;
  #cancelCheck: (() => void) | undefined;
  #cancelRetry: (() => void) | undefined;
  #attempt = 0;
  #lastMessage: number | undefined;
  #lastCheck = 0;
  #excused = false;
  #closed = false;

  constructor(options: StreamOptions) {
    this.#options = options;
    this.#timers = options.timers ?? browserTimers;
    this.#random = options.random ?? Math.random;
    this.#open = options.open ?? openStream;
    this.#online = options.online ?? (() => navigator.onLine);
    if (options.initial !== undefined) {
      this.#lastMessage = options.initial.lastMessage;
      this.#state = options.initial.state;
    }
    this.#lastCheck = this.#timers.monotonic();
    this.#lastSign = this.#lastCheck;
    this.#scheduleCheck();
    if (this.#online()) this.#connect();
    else this.#lost();
  }

  /** Time of the last sign of life: a message, or the begin of an attempt. */
  #lastSign: number;

  get state(): StreamState {
    return this.#state;
  }

  /** Ends the stream. No callback is called afterwards. */
  close(): void {
    this.#closed = true;
    this.#cancelCheck?.();
    this.#cancelRetry?.();
    this.#connection?.abort();
  }

  /** Connects at once instead of waiting, for example because the device has a network again. */
  reconnect(): void {
    if (this.#closed || this.#state.status === 'ended') return;
    this.#attempt = 0;
    this.#connect();
  }

  /** Reports to the stream that the device lost its network. */
  networkLost(): void {
    if (this.#closed || this.#state.status === 'ended') return;
    this.#connection?.abort();
    this.#connection = undefined;
    this.#lost();
  }

  #setState(state: StreamState): void {
    const same =
      state.status === this.#state.status &&
      ('since' in state ? state.since : undefined) === ('since' in this.#state ? this.#state.since : undefined);
    this.#state = state;
    if (!same) this.#options.onState(state);
  }

  #connect(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    this.#connection?.abort();
    const connection = new AbortController();
    this.#connection = connection;
    this.#lastSign = this.#timers.monotonic();
    this.#excused = false;
    void this.#read(connection);
  }

  async #read(connection: AbortController): Promise<void> {
    let pause: number | undefined;
    try {
      const response = await this.#open(addressOf(this.#options.url), connection.signal);
      if (connection.signal.aborted) return;
      if (!response.ok || response.body === null) {
        const error = await ApiError.from(response);
        if (connection.signal.aborted) return;
        if (!error.retryable || error.status === 401) {
          this.#end(error);
          return;
        }
        pause = error.retryAfter;
      } else {
        this.#options.onConnect?.();
        pause = await this.#receive(response.body, connection.signal);
      }
    } catch {
      // The connection failed or broke, or a message could not be handled: the reconnection below is the answer. Nobody reads
      // this response any more, and a session has few streams, so the server must learn that this one has ended.
      if (this.#connection === connection) connection.abort();
    }
    if (this.#connection !== connection || this.#closed) return;
    this.#connection = undefined;
    this.#lost(pause);
  }

  /** Passes messages on until the response ends. Returns the pause that the server asks for. */
  async #receive(body: ReadableStream<Uint8Array>, signal: AbortSignal): Promise<number | undefined> {
    const parser = new EventParser();
    const decoder = new TextDecoder();
    const reader = body.getReader();
    let pause: number | undefined;
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return pause;
      for (const event of parser.push(decoder.decode(value, { stream: true }))) {
        if (signal.aborted) return pause;
        if (event.event === 'bye') {
          // The end of the connection brings no data: what the page shows stays as old as it is.
          pause = retryAfterOfBye(event.data);
          continue;
        }
        this.#alive();
        this.#options.onMessage(event);
        // A message that cannot be handled is a failed attempt, so that the next one waits longer.
        this.#attempt = 0;
      }
    }
  }

  #alive(): void {
    this.#lastMessage = this.#timers.monotonic();
    this.#lastSign = this.#lastMessage;
    this.#excused = false;
    this.#setState({ status: 'live' });
  }

  #end(error: ApiError): void {
    this.#cancelCheck?.();
    this.#cancelRetry?.();
    this.#connection = undefined;
    this.#setState({ status: 'ended', error });
  }

  /** Schedules the reconnection. The first failure after a message keeps the state `live`; the second makes it stale. */
  #lost(pause = 0): void {
    if (!this.#online()) this.#setState({ status: 'offline', since: this.#lastMessage });
    else if (this.#attempt > 0) this.#markStale();
    const delay = Math.max(pause, 0) + reconnectDelay(this.#attempt, this.#random());
    this.#attempt += 1;
    this.#cancelRetry?.();
    this.#cancelRetry = this.#timers.after(delay, () => this.#connect());
  }

  #markStale(): void {
    if (this.#lastMessage === undefined) {
      this.#setState({ status: 'connecting' });
    } else if (this.#online()) {
      this.#setState({ status: 'stale', since: this.#lastMessage });
    } else {
      this.#setState({ status: 'offline', since: this.#lastMessage });
    }
  }

  #scheduleCheck(): void {
    this.#cancelCheck = this.#timers.after(CHECK_INTERVAL, () => {
      this.#check();
      if (!this.#closed && this.#state.status !== 'ended') this.#scheduleCheck();
    });
  }

  #check(): void {
    const now = this.#timers.monotonic();
    const suspended = now - this.#lastCheck > CHECK_INTERVAL + SUSPENSION;
    this.#lastCheck = now;
    if (suspended && !this.#excused) {
      this.#excused = true;
      return;
    }
    if (this.#lastMessage !== undefined && now - this.#lastMessage >= SILENCE_LIMIT) this.#markStale();
    // While a retry is scheduled there is no connection whose silence could be judged.
    if (this.#connection !== undefined && now - this.#lastSign >= SILENCE_LIMIT) this.#connect();
  }
}

function retryAfterOfBye(data: string): number | undefined {
  try {
    const bye: unknown = JSON.parse(data);
    if (typeof bye !== 'object' || bye === null || !('retry_after_ms' in bye)) return undefined;
    return typeof bye.retry_after_ms === 'number' ? bye.retry_after_ms : undefined;
  } catch {
    return undefined;
  }
}

/** Opens a stream that follows the browser's network state. Returns the stream; `close` ends both. */
export function openEventStream(options: StreamOptions): EventStream {
  const stream = new EventStream(options);
  const online = () => stream.reconnect();
  const offline = () => stream.networkLost();
  addEventListener('online', online);
  addEventListener('offline', offline);
  const close = stream.close.bind(stream);
  stream.close = () => {
    removeEventListener('online', online);
    removeEventListener('offline', offline);
    close();
  };
  return stream;
}
