// Which orders need a person: stuck ones, late ones, and those that will soon be late.
import type { Order } from '../lib/api';

const MINUTE = 60_000;

/** Time before the acceptance deadline from which an order counts as nearly late, in milliseconds. */
export const ACCEPTANCE_NEAR = 2 * MINUTE;
/** Time for which a payment may be pending, in milliseconds. */
export const PAYMENT_PATIENCE = 2 * MINUTE;
/** Time for which a ready order may wait after `ready_by`, in milliseconds. */
export const PICKUP_PATIENCE = 10 * MINUTE;
/**
 * Time from `ready_by` until an order must be delivered, in milliseconds: the wait for the courier, and an hour on the way. An
 * order does not state its pick-up, and `updated_at` is the time of any event, such as a refund.
 */
export const DELIVERY_PATIENCE = PICKUP_PATIENCE + 60 * MINUTE;

export type Cause = 'task' | 'acceptance' | 'payment' | 'preparation' | 'pickup' | 'delivery';

export type Attention =
  | { level: 'stuck'; cause: 'task'; since: number | undefined }
  /** `since`: the time from which the order is late. */
  | { level: 'late'; cause: Cause; since: number }
  | { level: 'near'; cause: Cause; since: number }
  | { level: 'none' };

export type Timed = Pick<Order, 'status' | 'placed_at' | 'acceptance_deadline' | 'ready_by'>;

const NONE: Attention = { level: 'none' };

/** The limit in time that applies to an order in its status. */
function limitOf(order: Timed): { cause: Cause; at: number; near: number } | undefined {
  const after = (time: string | undefined, patience: number) =>
    time === undefined ? undefined : Date.parse(time) + patience;
  let cause: Cause;
  let at: number | undefined;
  switch (order.status) {
    case 'created':
      [cause, at] = ['payment', after(order.placed_at, PAYMENT_PATIENCE)];
      break;
    case 'confirmed':
      [cause, at] = ['acceptance', after(order.acceptance_deadline, 0)];
      break;
    case 'preparing':
      [cause, at] = ['preparation', after(order.ready_by, 0)];
      break;
    case 'ready_for_pickup':
      [cause, at] = ['pickup', after(order.ready_by, PICKUP_PATIENCE)];
      break;
    case 'out_for_delivery':
      [cause, at] = ['delivery', after(order.ready_by, DELIVERY_PATIENCE)];
      break;
    default:
      return undefined;
  }
  if (at === undefined || Number.isNaN(at)) return undefined;
  return { cause, at, near: cause === 'acceptance' ? ACCEPTANCE_NEAR : 0 };
}

/** Returns what an order needs at `now`. An order with a parked task is stuck, whatever its status. */
export function attentionOf(order: Timed, parkedSince: string | undefined, now: number): Attention {
  if (parkedSince !== undefined) {
    const since = Date.parse(parkedSince);
    return { level: 'stuck', cause: 'task', since: Number.isNaN(since) ? undefined : since };
  }
  const limit = limitOf(order);
  if (limit === undefined) return NONE;
  if (now >= limit.at) return { level: 'late', cause: limit.cause, since: limit.at };
  return now >= limit.at - limit.near ? { level: 'near', cause: limit.cause, since: limit.at } : NONE;
}

const RANKS = { stuck: 0, late: 1, near: 2, none: 3 } as const;

export interface Ranked {
  id: string;
  placed_at: string;
  attention: Attention;
}

/** Stuck orders first, then late ones, the longest delay first; then the others, newest first. */
export function byAttention(one: Ranked, other: Ranked): number {
  const rank = RANKS[one.attention.level] - RANKS[other.attention.level];
  if (rank !== 0) return rank;
  const [a, b] = [sinceOf(one.attention), sinceOf(other.attention)];
  if (a !== b) return a - b;
  if (one.placed_at !== other.placed_at) return one.placed_at < other.placed_at ? 1 : -1;
  return one.id < other.id ? 1 : -1;
}

/** Returns entries with those first that need a person. The others keep their places. */
export function urgentFirst<E extends Ranked>(entries: readonly E[]): E[] {
  const isUrgent = (entry: E) => entry.attention.level !== 'none';
  return [...entries.filter(isUrgent).sort(byAttention), ...entries.filter((entry) => !isUrgent(entry))];
}

/** Returns entries in the places that they had before. Entries without a place come last. */
export function inPlaces<E extends { id: string }>(entries: readonly E[], places: ReadonlyMap<string, number>): E[] {
  const placeOf = (entry: E) => places.get(entry.id) ?? Number.MAX_SAFE_INTEGER;
  return [...entries].sort((one, other) => placeOf(one) - placeOf(other));
}

function sinceOf(attention: Attention): number {
  return attention.level === 'none' ? 0 : (attention.since ?? 0);
}
