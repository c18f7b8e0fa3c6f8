// An attempt to place an order: one intention of the customer, with one idempotency key.
//
// Key and body are stored before the first request, and every retry sends both unchanged, also after a reload. So the
// server creates at most one order, however often the request arrives. A changed cart is a new attempt with a new key.
import type { ApiError } from '../lib/api';
import { kept } from '../lib/kept';
import { uuid } from '../lib/random';
import type { OrderRequest } from './types';

export interface Attempt {
  key: string;
  /** Account that ordered. Another account must not send this attempt. */
  account: string;
  body: OrderRequest;
  /** Server time of the tap, in milliseconds since 1970. */
  startedAt: number;
  /** Server time at which the last request left, in milliseconds since 1970. */
  sentAt?: number;
  /** Whether the customer wants no order. The attempt then only waits until no request of it can create one. */
  givenUp?: boolean;
  /** The order, once it is placed. The attempt then only waits for its tracking link. */
  order?: string;
}

/** Time for which the page retries by itself. After that the customer decides: a surprise order an hour later helps nobody. */
export const RETRY_LIMIT = 120_000;
/** Time for which an attempt may be sent again. Servers keep idempotency keys for longer (7 days by default). */
export const RESEND_LIMIT = 24 * 3_600_000;
/**
 * Time after the last request after which it no longer creates an order: servers work on a request for 30 s by default, and
 * the network delays it. In milliseconds.
 */
export const SETTLE_LIMIT = 60_000;
/** Interval at which the page polls for the order of an attempt that the customer gave up, in milliseconds. */
export const POLL_INTERVAL = 5_000;
/** Tolerance between the server's time and the page's idea of it, in milliseconds. */
const CLOCK_TOLERANCE = 60_000;

export function createAttempt(account: string, body: OrderRequest, now: number): Attempt {
  return { key: uuid(), account, body, startedAt: now };
}

const storageKey = (restaurant: string) => `dabba.order.attempt.${restaurant}`;

/** Keeps the attempt over a reload. */
export function keepAttempt(restaurant: string, attempt: Attempt): void {
  kept.set(storageKey(restaurant), JSON.stringify(attempt));
}

export function forgetAttempt(restaurant: string): void {
  kept.delete(storageKey(restaurant));
}

export function keptAttempt(restaurant: string): Attempt | undefined {
  try {
    const data = JSON.parse(kept.get(storageKey(restaurant)) ?? 'null') as Partial<Attempt> | null;
    const whole =
      typeof data?.key === 'string' &&
      typeof data.account === 'string' &&
      typeof data.body === 'object' &&
      typeof data.startedAt === 'number';
    return whole ? (data as Attempt) : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the delay before retry number `retry` (from 0), in milliseconds. The server's wish counts if it is longer. */
export function retryDelay(retry: number, retryAfter: number | undefined): number {
  return Math.max(retryAfter ?? 0, Math.min(15_000, 1_000 * 2 ** Math.min(retry, 10)));
}

/**
 * - `retry`: the outcome is unknown, or the server asks to wait. The same key and body may be sent again.
 * - `sign_in`: the session has ended. Nothing was written; the attempt goes on after the sign-in.
 * - `price`: the price has changed. Nothing was written; the customer decides.
 * - `refused`: nothing was written, and the same request would be refused again.
 */
export type Verdict = 'retry' | 'sign_in' | 'price' | 'refused';

export function verdictOf(error: ApiError): Verdict {
  if (error.status === 401) return 'sign_in';
  if (error.retryable) return 'retry';
  return error.code === 'menu_changed' && error.problem.quote !== undefined ? 'price' : 'refused';
}

interface PlacedOrder {
  id: string;
  restaurant_id: string;
  placed_at: string;
  /** Optional in the API, because couriers do not see them. */
  amounts?: { total: number };
  lines?: readonly { item: string; quantity: number }[];
}

/** Returns the order that an attempt placed, if it is among the account's latest orders. */
export function findPlaced<Order extends PlacedOrder>(
  orders: readonly Order[],
  restaurant: string,
  attempt: Attempt,
): Order | undefined {
  const lines = (list: readonly { item: string; quantity: number }[]) =>
    list.map(({ item, quantity }) => `${item} ${quantity}`).join('\n');
  return orders.find(
    (order) =>
      order.restaurant_id === restaurant &&
      Date.parse(order.placed_at) >= attempt.startedAt - CLOCK_TOLERANCE &&
      order.amounts?.total === attempt.body.expected_total &&
      lines(order.lines ?? []) === lines(attempt.body.lines),
  );
}
