// The order behind a tracking link, kept up to date by the link's stream.
//
// The link is the whole authorization, so nothing here needs a session. The last state is kept for the life of the tab, so
// that a reload without a network shows it, marked as old.
import type { Tracking } from '../lib/api/contract';
import type { ApiError } from '../lib/api/error';
import { clock } from '../lib/clock';
import { keptInTab } from '../lib/kept';
import { openEventStream, type StreamState } from '../lib/sse';
import type { StreamEvent } from '../lib/sse-parser';
import { cancelOrder, type CancelReason } from './calls';

const KEPT = 'dabba.tracking.';

/** Whether `next` replaces `shown`: messages of an old connection may arrive after those of a new one. */
export function replaces(next: Tracking, shown: Tracking | undefined): boolean {
  return shown === undefined || next.order.id !== shown.order.id || next.order.version >= shown.order.version;
}

export class Follow {
  readonly token: string;
  /** The last state of the order. */
  tracking = $state.raw<Tracking>();
  /** Whether the data is up to date. */
  connection = $state.raw<StreamState>({ status: 'connecting' });
  /** Server time of the last sign of life of the stream, in milliseconds since 1970. */
  seen = $state<number>();
  readonly #close: () => void;

  constructor(token: string) {
    this.token = token;
    const kept = readKept(token);
    if (kept !== undefined) {
      this.tracking = kept;
      this.seen = Date.parse(kept.now);
    }
    const stream = openEventStream({
      url: `/v1/tracking/${encodeURIComponent(token)}/stream`,
      onMessage: (event) => this.#receive(event),
      onState: (state) => this.#changed(state),
    });
    this.#close = () => stream.close();
  }

  close(): void {
    this.#close();
  }

  /** Whether no order belongs to the link: it is wrong, or it has expired. */
  get gone(): boolean {
    return this.connection.status === 'ended' && this.connection.error.status === 404;
  }

  /** Refusal of the stream for another reason than an unknown link. */
  get failure(): ApiError | undefined {
    return this.connection.status === 'ended' && !this.gone ? this.connection.error : undefined;
  }

  /** Whether the shown state may be old. `slow`: the page waits for its first message for so long that it says so. */
  isStale(slow: boolean): boolean {
    const { status } = this.connection;
    const waits = status === 'connecting' && slow;
    return this.tracking !== undefined && (status === 'stale' || status === 'offline' || waits);
  }

  /** Cancels the order, recorded as the customer's. A repetition of the same cancellation changes nothing. */
  async cancel(reason: CancelReason, note: string): Promise<void> {
    this.#accept(await cancelOrder(this.token, reason, note));
  }

  #receive(event: StreamEvent): void {
    const data: unknown = parse(event.data);
    if (event.event === 'tracking' && isTracking(data)) this.#accept(data);
    else if (event.event === 'heartbeat' && hasNow(data)) this.#observe(data.now);
  }

  #observe(now: string): void {
    clock.observe(now);
    this.seen = clock.now();
  }

  #accept(next: Tracking): void {
    this.#observe(next.now);
    if (!replaces(next, this.tracking)) return;
    this.tracking = next;
    keep(this.token, next);
  }

  #changed(state: StreamState): void {
    this.connection = state;
    // An expired link shows nothing any more, so nothing of it stays in the browser either.
    if (!this.gone) return;
    this.tracking = undefined;
    keptInTab.delete(KEPT + this.token);
  }
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}

function hasNow(data: unknown): data is { now: string } {
  return typeof data === 'object' && data !== null && 'now' in data && typeof data.now === 'string';
}

function isTracking(data: unknown): data is Tracking {
  return hasNow(data) && 'order' in data && 'restaurant' in data;
}

function readKept(token: string): Tracking | undefined {
  const kept = keptInTab.get(KEPT + token);
  const data = kept === null ? undefined : parse(kept);
  return isTracking(data) ? data : undefined;
}

function keep(token: string, tracking: Tracking): void {
  keptInTab.set(KEPT + token, JSON.stringify(tracking));
}
