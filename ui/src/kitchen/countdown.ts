// How urgent an order is, by the server's time.
import type { BoardOrder } from './types';

/** Maximum time before the acceptance deadline at which the restaurant is warned, as the server does. */
export const WARNING = 120_000;
/** Time before the promised time at which an order in preparation becomes urgent, in milliseconds. */
export const SOON = 5 * 60_000;
/** Time for which a finished order may wait beyond the promised time, in milliseconds. */
export const WAITING = 10 * 60_000;

/**
 * - `calm`: there is time.
 * - `soon`: the promised time is near.
 * - `due`: the order must be answered now, before it expires.
 * - `late`: the deadline or the promised time is over.
 */
export type Urgency = 'calm' | 'soon' | 'due' | 'late';

/** Time at which an order expires or should be ready; `undefined` if there is none. */
export function targetOf(order: BoardOrder): number | undefined {
  const text = order.status === 'confirmed' ? order.acceptance_deadline : order.ready_by;
  if (text === undefined) return undefined;
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

/** Time at which the warning for an unaccepted order begins, by the restaurant's time to accept. */
export function warningAt(order: BoardOrder, acceptanceSeconds: number): number | undefined {
  const deadline = targetOf(order);
  if (deadline === undefined) return undefined;
  return deadline - Math.min(WARNING, (acceptanceSeconds * 1_000) / 2);
}

export function urgencyOf(order: BoardOrder, now: number, acceptanceSeconds: number): Urgency {
  const target = targetOf(order);
  if (target === undefined) return order.acceptance_due === true ? 'due' : 'calm';
  const left = target - now;
  switch (order.status) {
    case 'confirmed':
      if (left <= 0) return 'late';
      return order.acceptance_due === true || now >= (warningAt(order, acceptanceSeconds) ?? target) ? 'due' : 'calm';
    case 'preparing':
      if (left < 0) return 'late';
      return left <= SOON ? 'soon' : 'calm';
    case 'ready_for_pickup':
      return left < -WAITING ? 'late' : 'calm';
    default:
      return 'calm';
  }
}

/** Delay until the next full second of the server's time, so that all countdowns change together. */
export function untilNextSecond(now: number): number {
  const rest = 1_000 - (((now % 1_000) + 1_000) % 1_000);
  // A timer that fires early would show the same second twice.
  return rest + 5;
}
