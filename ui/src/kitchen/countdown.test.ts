import { describe, expect, it } from 'vitest';
import { Orders } from '../../tests/mock/orders';
import { SOON, untilNextSecond, urgencyOf, WAITING, warningAt } from './countdown';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const at = (milliseconds: number) => new Date(NOW + milliseconds).toISOString();
const base = new Orders().make(NOW);

describe('the urgency of a new order', () => {
  const placed = (left: number, due = false) => ({
    ...base,
    acceptance_deadline: at(left),
    ...(due ? { acceptance_due: true } : {}),
  });

  it.each([
    [300_000, 480, 'calm'],
    [120_001, 480, 'calm'],
    [120_000, 480, 'due'],
    [0, 480, 'late'],
    // With less than four minutes to accept, the warning comes at half of the time.
    [100_000, 180, 'calm'],
    [90_000, 180, 'due'],
  ])('with %d ms left of %d s is %s, %s', (left, seconds, expected) => {
    expect(urgencyOf(placed(left), NOW, seconds)).toBe(expected);
  });

  it('follows the recorded warning, whatever the clock says', () => {
    expect(urgencyOf(placed(400_000, true), NOW, 480)).toBe('due');
    const without = placed(1, true);
    Reflect.deleteProperty(without, 'acceptance_deadline');
    expect(urgencyOf(without, NOW, 480)).toBe('due');
  });

  it('has a warning time as the server', () => {
    expect(warningAt(placed(480_000), 480)).toBe(NOW + 360_000);
    expect(warningAt(placed(180_000), 180)).toBe(NOW + 90_000);
  });
});

describe('the urgency of an accepted order', () => {
  it.each([
    ['preparing', SOON + 1, 'calm'],
    ['preparing', SOON, 'soon'],
    ['preparing', -1, 'late'],
    ['ready_for_pickup', -WAITING, 'calm'],
    ['ready_for_pickup', -WAITING - 1, 'late'],
    ['out_for_delivery', -WAITING * 5, 'calm'],
  ] as const)('%s, %d ms before the promised time, is %s', (status, left, expected) => {
    expect(urgencyOf({ ...base, status, ready_by: at(left) }, NOW, 480)).toBe(expected);
  });
});

it('ticks just after the next full second, before and after 1970', () => {
  expect(untilNextSecond(1_250)).toBe(755);
  expect(untilNextSecond(2_000)).toBe(1_005);
  expect(untilNextSecond(-250)).toBe(255);
});
