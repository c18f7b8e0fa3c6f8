import { describe, expect, it } from 'vitest';
import { UNDO_DELAY } from '../lib/outbox';
import { Orders } from '../../tests/mock/orders';
import { UNSENT_LIMIT, untilOverdue, URGENT_LIMIT } from './unsent';

const NOW = Date.parse('2026-06-01T12:00:00Z');
/** The device's clock is wrong by an hour. */
const DEVICE = NOW - 3_600_000;
const ACCEPTANCE = 480;
/** The warning begins two minutes before the deadline. */
const WARNING = 120_000;
const order = (left: number, due = false) => ({
  ...new Orders().make(NOW),
  acceptance_deadline: new Date(NOW + left).toISOString(),
  ...(due ? { acceptance_due: true } : {}),
});
/** Time until an answer is overdue that has waited for a time since its undo. */
const until = (waited: number, of = order(400_000)) => untilOverdue(DEVICE - waited, of, ACCEPTANCE, DEVICE, NOW);

describe('an answer that does not reach the server', () => {
  it('is overdue after the limit', () => {
    expect(until(-UNDO_DELAY)).toBe(UNDO_DELAY + UNSENT_LIMIT);
    expect(until(0)).toBe(UNSENT_LIMIT);
    expect(until(UNSENT_LIMIT)).toBe(0);
    expect(until(60_000)).toBeLessThan(0);
  });

  it('is overdue before the warning begins', () => {
    expect(until(0, order(WARNING + 10_000))).toBe(10_000 - URGENT_LIMIT);
    expect(until(5_000, order(WARNING + URGENT_LIMIT))).toBeLessThanOrEqual(0);
  });

  it('has a moment although the warning has begun', () => {
    expect(until(0, order(30_000))).toBe(URGENT_LIMIT);
    expect(until(0, order(400_000, true))).toBe(URGENT_LIMIT);
    expect(until(URGENT_LIMIT, order(-1_000))).toBe(0);
  });

  it('is overdue if the device’s clock was set back, because nobody knows how long it has waited', () => {
    expect(until(-UNDO_DELAY - 1)).toBe(0);
  });
});
