// Answers to orders that do not reach the server: the order is not accepted, although a person has answered it.
import { UNDO_DELAY } from '../lib/outbox';
import { warningAt } from './countdown';
import type { BoardOrder } from './types';

/** Time after its undo for which an answer may wait for the server; then the board rings again, in milliseconds. */
export const UNSENT_LIMIT = 15_000;
/**
 * The same for an answer that would otherwise wait into the warning, in milliseconds: it is overdue so long before the warning
 * begins, or after its undo if that is later.
 */
export const URGENT_LIMIT = 3_000;

/**
 * Returns the time until an answer in the outbox is overdue, in milliseconds; negative if it is. `due` and `device` are times of
 * the device, and `server` is the server's time.
 */
export function untilOverdue(due: number, order: BoardOrder, acceptanceSeconds: number, device: number, server: number): number {
  const waited = device - due;
  // The device's clock was set back, so nobody knows how long the answer has waited.
  if (waited < -UNDO_DELAY) return 0;
  const warning = order.acceptance_due === true ? server : (warningAt(order, acceptanceSeconds) ?? Infinity);
  return Math.max(URGENT_LIMIT - waited, Math.min(UNSENT_LIMIT - waited, warning - URGENT_LIMIT - server));
}
