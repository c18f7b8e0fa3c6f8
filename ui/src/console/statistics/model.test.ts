import { describe, expect, it } from 'vitest';
import {
  completenessOf,
  countOf,
  durationsOf,
  hasValues,
  inRateUnit,
  inUnit,
  queryOf,
  quantileOf,
  queuesOf,
  RANGES,
  ratePerMinute,
  rounded,
  smallestUnit,
  type Range,
  type Statistics,
} from './model';

/** Steps of five minutes from 12:00 to 12:22, counted until 12:17. */
function statistics(changes: Partial<Statistics> = {}): Statistics {
  return {
    from: '2026-11-30T12:00:00Z',
    to: '2026-11-30T12:22:00Z',
    step: 300,
    complete_until: '2026-11-30T12:17:00Z',
    counted_until: '2026-11-30T12:17:00Z',
    series: [
      {
        name: 'orders_placed',
        kind: 'count',
        unit: 'orders',
        points: [
          { at: '2026-11-30T12:00:00Z', count: 10 },
          { at: '2026-11-30T12:15:00Z', count: 4 },
        ],
      },
      {
        name: 'lateness',
        kind: 'distribution',
        unit: 'seconds',
        points: [
          { at: '2026-11-30T12:00:00Z', count: 1, sum: 30, p50: 30, p90: 30, p99: 30, max: 30 },
          { at: '2026-11-30T12:10:00Z', count: 3, sum: 10, p50: 0, p90: 9, p99: 9, max: 10 },
        ],
      },
      ...['webhooks', 'payments'].map((queue, index) => ({
        name: 'tasks_waiting',
        kind: 'gauge',
        unit: 'tasks',
        queue,
        points: [{ at: '2026-11-30T12:05:00Z', count: 5, sum: 5, max: 2 + index }],
      })),
    ],
    ...changes,
  };
}

const values = (points: { value: number | undefined }[]) => points.map((point) => point.value);

it('every range fits the limits of the API, and begins with a whole step', () => {
  const now = Date.parse('2026-11-30T12:34:56.789Z');
  for (const range of Object.keys(RANGES) as Range[]) {
    const { from, to, step } = queryOf(range, now);
    expect(step % 60).toBe(0);
    expect((Date.parse(from) / 1_000) % step).toBe(0);
    const length = Date.parse(to) - Date.parse(from);
    expect(length).toBeGreaterThanOrEqual(RANGES[range].length);
    expect(length / step / 1_000).toBeLessThan(1_500);
  }
});

describe('orders per minute', () => {
  it('are zero where nothing happened, a gap where nothing is counted yet, and do not fall at the end', () => {
    expect(values(ratePerMinute(statistics(), 'orders_placed'))).toEqual([2, 0, 0, 2, undefined]);
  });

  it('of the shards that answered stay while another does not answer', () => {
    const missing = statistics({ complete_until: '2026-11-30T12:00:00Z', missing_shards: ['west'] });
    expect(values(ratePerMinute(missing, 'orders_placed'))).toEqual([2, 0, 0, 2, undefined]);
  });

  it('of a name without a series are zero', () => {
    expect(values(ratePerMinute(statistics(), 'orders_cancelled'))).toEqual([0, 0, 0, 0, undefined]);
  });
});

describe('the unit of rates', () => {
  const series = (...rates: (number | undefined)[]) => ({ name: 's', points: rates.map((value, at) => ({ at, value })) });

  it('is the hour if all rates are below 1 per minute', () => {
    const { unit, series: scaled } = inRateUnit([series(0.25, undefined), series(0)]);
    expect(unit).toBe('hour');
    expect(scaled.map(({ points }) => values([...points]))).toEqual([[15, undefined], [0]]);
  });

  it('is the minute for all series if one reaches 1 per minute', () => {
    const rates = [series(0.25), series(1)];
    expect(inRateUnit(rates)).toEqual({ unit: 'minute', series: rates });
  });
});

it('a quantile has a gap where nothing was measured', () => {
  expect(values(quantileOf(statistics(), 'lateness', 'p90'))).toEqual([30, undefined, 9, undefined, undefined]);
});

it('the fullest queue comes first', () => {
  const queues = queuesOf(statistics(), 'tasks_waiting');
  expect(queues.map((series) => series.name)).toEqual(['payments', 'webhooks']);
  expect(values([...(queues[0]?.points ?? [])])).toEqual([undefined, 3, undefined, undefined, undefined]);
  expect(queuesOf(statistics(), 'task_age')).toEqual([]);
});

it('totals are exact', () => {
  expect(countOf(statistics(), 'orders_placed')).toBe(14);
  expect(durationsOf(statistics(), 'lateness')).toEqual({ mean: 10_000, maximum: 30_000 });
  expect(durationsOf(statistics(), 'delivery_time')).toBeUndefined();
  expect(hasValues(statistics(), 'delivery_time', 'lateness')).toBe(true);
  expect(hasValues(statistics(), 'delivery_time')).toBe(false);
});

it('only the latency of the server is in milliseconds', () => {
  const zero = [{ name: 's', points: [{ at: 0, value: 0 }] }];
  expect(inUnit(zero, smallestUnit('placing_latency')).unit).toBe('millisecond');
  expect(inUnit(zero, smallestUnit('lateness')).unit).toBe('second');
  expect(inUnit([{ name: 's', points: [{ at: 0, value: 0.4 }] }], 'second').series[0]?.points[0]?.value).toBe(0.4);
});

it.each([
  [0.012, 'millisecond', 12],
  [30, 'second', 30],
  [600, 'minute', 10],
  [7_200, 'hour', 2],
] as const)('%d seconds are shown in %ss', (seconds, unit, value) => {
  const scaled = inUnit([{ name: 's', points: [{ at: 0, value: seconds }, { at: 1, value: undefined }] }], 'millisecond');
  expect(scaled.unit).toBe(unit);
  expect(values([...(scaled.series[0]?.points ?? [])]).map((entry) => (entry === undefined ? entry : rounded(entry)))).toEqual([value, undefined]);
});

it.each([
  [1234.5, 1235],
  [12.345, 12.3],
  [0.012345, 0.0123],
  [0, 0],
])('%d is rounded to %d', (value, expected) => {
  expect(rounded(value)).toBe(expected);
});

it('says what is missing', () => {
  expect(completenessOf(statistics())).toEqual({ kind: 'complete', until: '2026-11-30T12:17:00Z' });
  expect(completenessOf(statistics({ complete_until: '2026-11-30T12:10:00Z' })).kind).toBe('behind');
  expect(completenessOf(statistics({ complete_until: '2026-11-30T12:00:00Z' }))).toEqual({ kind: 'none' });
  expect(completenessOf(statistics({ missing_shards: ['west'] }))).toEqual({ kind: 'missing', shards: ['west'] });
});
