// The steps of an order as the customer sees them, each with the time at which it happened.
import type { TrackedOrder } from '../lib/api/contract';

export type StepKey = 'placed' | 'confirmed' | 'accepted' | 'ready' | 'picked_up' | 'delivered' | 'collected' | 'ended';

export interface Step {
  key: StepKey;
  /** `current` is the last step that happened while others follow; `ended` is an end before the last step. */
  state: 'done' | 'current' | 'upcoming' | 'ended';
  at?: string;
  /** Time by which the step is expected. */
  expected?: string;
}

const DELIVERY: readonly StepKey[] = ['placed', 'confirmed', 'accepted', 'ready', 'picked_up', 'delivered'];
const COLLECTION: readonly StepKey[] = ['placed', 'confirmed', 'accepted', 'ready', 'collected'];

/** The step that a status proves, also if the server states no time for it. */
const REACHED: Record<string, StepKey> = {
  created: 'placed',
  confirmed: 'confirmed',
  preparing: 'accepted',
  ready_for_pickup: 'ready',
  out_for_delivery: 'picked_up',
};

/** Whether the order ended before its last step. A refunded order was delivered, or ended early before its refund. */
export function endedEarly(order: TrackedOrder): boolean {
  return order.status === 'cancelled' || (order.status === 'refunded' && order.delivered_at === undefined);
}

/** Whether the order has reached its end, whichever. */
export function isOver(order: TrackedOrder): boolean {
  return ['delivered', 'cancelled', 'refunded'].includes(order.status);
}

function timeOf(order: TrackedOrder, step: StepKey): string | undefined {
  switch (step) {
    case 'placed':
      return order.placed_at;
    case 'confirmed':
      return order.confirmed_at;
    case 'accepted':
      return order.accepted_at;
    case 'ready':
      return order.ready_at;
    case 'picked_up':
      return order.picked_up_at;
    case 'delivered':
    case 'collected':
      return order.delivered_at;
    case 'ended':
      return order.ended_at;
  }
}

function expectedTime(order: TrackedOrder, step: StepKey): string | undefined {
  if (step === 'accepted') return order.acceptance_deadline;
  return step === 'ready' ? order.ready_by : undefined;
}

/** Index of the last step that happened: by its time, or by the status where the time is missing. */
function lastReached(order: TrackedOrder, keys: readonly StepKey[]): number {
  if (order.status === 'delivered' || (order.status === 'refunded' && !endedEarly(order))) return keys.length - 1;
  const byTime = keys.findLastIndex((key) => timeOf(order, key) !== undefined);
  const reached = REACHED[order.status];
  return Math.max(byTime, reached === undefined ? 0 : keys.indexOf(reached));
}

/**
 * Returns the steps of an order at the server's time `now` (milliseconds since 1970), first to last. An order that ended
 * early has no steps to come. A time that was expected and has passed is no longer a promise, so it is left out.
 */
export function stepsOf(order: TrackedOrder, now: number): Step[] {
  const keys = order.fulfilment.type === 'collection' ? COLLECTION : DELIVERY;
  const last = lastReached(order, keys);
  const ended = endedEarly(order);
  const steps = keys.map((key, index): Step => {
    const at = timeOf(order, key);
    if (index <= last) {
      const state = index === last && index < keys.length - 1 && !ended ? 'current' : 'done';
      return at === undefined ? { key, state } : { key, state, at };
    }
    const expected = expectedTime(order, key);
    const open = expected !== undefined && Date.parse(expected) > now;
    return open ? { key, state: 'upcoming', expected } : { key, state: 'upcoming' };
  });
  if (!ended) return steps;
  const at = order.ended_at;
  return [...steps.slice(0, last + 1), at === undefined ? { key: 'ended', state: 'ended' } : { key: 'ended', state: 'ended', at }];
}
