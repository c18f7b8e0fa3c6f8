import { describe, expect, it } from 'vitest';
import { areaPath, linePath, linear, lonePoints, maximumOf, niceStep, segments, ticks, timeTicks, type Point } from './plot';
import { zoneOffset } from './zone';

describe('the ticks of values', () => {
  it.each([
    [0, 4, [0, 1]],
    [1, 4, [0, 0.5, 1]],
    [3, 4, [0, 1, 2, 3]],
    [7, 4, [0, 2, 4, 6, 8]],
    [10, 5, [0, 2, 4, 6, 8, 10]],
    [0.3, 3, [0, 0.1, 0.2, 0.3]],
    [950, 4, [0, 500, 1000]],
    [1_000_000, 4, [0, 500_000, 1_000_000]],
  ])('up to %d, at most %d steps', (maximum, count, expected) => {
    expect(ticks(maximum, count)).toEqual(expected);
  });

  it('have a step of 1, 2 or 5 times a power of ten', () => {
    for (let maximum = 0.01; maximum < 1e7; maximum *= 1.37) {
      const step = niceStep(maximum, 5);
      expect(['1', '2', '5']).toContain(step.toExponential(0)[0]);
      expect(maximum / step).toBeLessThanOrEqual(5 + 1e-6);
    }
    expect(niceStep(Number.NaN, 5)).toBe(1);
  });
});

describe('the ticks of times', () => {
  const HOUR = 3_600_000;
  it('are at round hours', () => {
    const from = Date.parse('2026-11-30T10:17:00Z');
    const shown = timeTicks(from, from + 24 * HOUR, 8).map((at) => new Date(at).toISOString().slice(11, 16));
    expect(shown).toEqual(['12:00', '15:00', '18:00', '21:00', '00:00', '03:00', '06:00', '09:00']);
  });

  it('are round in the zone of the reader', () => {
    const from = Date.parse('2026-11-30T10:17:00Z');
    // India: 5:30 before UTC.
    const shown = timeTicks(from, from + 6 * HOUR, 6, () => 5.5 * HOUR).map((at) => new Date(at).toISOString().slice(11, 16));
    expect(shown).toEqual(['10:30', '11:30', '12:30', '13:30', '14:30', '15:30']);
  });

  it.each([
    ['2026-10-23T12:00:00Z', ['23:00', '23:00', '00:00', '00:00', '00:00']],
    ['2026-03-27T12:00:00Z', ['00:00', '00:00', '23:00', '23:00', '23:00']],
  ])('are at midnight before and after a change of the clocks: %s', (first, expected) => {
    const from = Date.parse(first);
    const shown = timeTicks(from, from + 5 * 24 * HOUR, 5, (at) => zoneOffset(at, 'Europe/London'));
    expect(shown.map((at) => new Date(at).toISOString().slice(11, 16))).toEqual(expected);
  });

  it('are different times in the night in which clocks skip an hour', () => {
    const from = Date.parse('2026-03-28T22:00:00Z');
    const shown = timeTicks(from, from + 6 * HOUR, 6, (at) => zoneOffset(at, 'Europe/London'));
    expect(shown.map((at) => (at - from) / HOUR)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it('do not exist without a range', () => {
    expect(timeTicks(5, 5, 4)).toEqual([]);
    expect(timeTicks(5, 1, 4)).toEqual([]);
  });
});

describe('a line', () => {
  const points: Point[] = [
    { at: 0, value: 0 },
    { at: 10, value: 5 },
    { at: 20, value: undefined },
    { at: 30, value: 10 },
  ];
  const x = linear(0, 40, 0, 400);
  const y = linear(0, 10, 100, 0);

  it('has gaps where nothing was measured', () => {
    expect(segments(points).map((segment) => segment.length)).toEqual([2, 1]);
    expect(linePath(points, x, y)).toBe('M0 100L100 50');
    expect(lonePoints(points)).toEqual([{ at: 30, value: 10 }]);
    expect(areaPath(points, x, y)).toBe('M0 100L0 100L100 50L100 100ZM300 100L300 0L300 100Z');
  });

  it('without points is empty', () => {
    expect(linePath([], x, y)).toBe('');
    expect(areaPath([{ at: 1, value: undefined }], x, y)).toBe('');
    expect(maximumOf([])).toBe(0);
    expect(maximumOf([{ name: 'a', points }])).toBe(10);
  });

  it('of one moment is in the middle', () => {
    expect(linear(7, 7, 0, 100)(7)).toBe(50);
  });
});
