import { describe, expect, it } from 'vitest';
import { endOfDay, untilOf } from './time';

const at = (text: string) => Date.parse(text);
const iso = (time: number) => new Date(time).toISOString();

describe('the end of the day', () => {
  it.each([
    ['Asia/Kolkata', '2026-06-01T12:00:00Z', '2026-06-01T23:30:00.000Z'],
    ['Europe/London', '2026-06-01T12:00:00Z', '2026-06-02T04:00:00.000Z'],
    // After midnight, the evening is not over.
    ['Europe/London', '2026-06-02T01:30:00Z', '2026-06-02T04:00:00.000Z'],
    ['America/New_York', '2026-06-02T02:00:00Z', '2026-06-02T09:00:00.000Z'],
    // The night in which the clocks change.
    ['Europe/London', '2026-10-24T20:00:00Z', '2026-10-25T05:00:00.000Z'],
    ['Nowhere/Unknown', '2026-06-01T12:00:00Z', '2026-06-02T05:00:00.000Z'],
  ])('in %s after %s is %s', (zone, now, end) => {
    expect(iso(endOfDay(at(now), zone))).toBe(end);
  });
});

describe('an end', () => {
  const now = at('2026-06-01T12:00:00Z');

  it('is a time, or is given by hand', () => {
    expect(untilOf('15', now, 'UTC')).toBe('2026-06-01T12:15:00.000Z');
    expect(untilOf('120', now, 'UTC')).toBe('2026-06-01T14:00:00.000Z');
    expect(untilOf('day', now, 'UTC')).toBe('2026-06-02T05:00:00.000Z');
    expect(untilOf('open', now, 'UTC')).toBeUndefined();
  });
});
