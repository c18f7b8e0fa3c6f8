// From the API's statistics to what the page shows: series of plots, and totals.
import type { Body } from '../../lib/api';
import type { Point, Series } from '../../lib/plot';

export type Statistics = Body<'Statistics'>;
type StatisticsSeries = Body<'StatisticsSeries'>;
type StatisticsPoint = Body<'StatisticsPoint'>;

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The ranges, each with the length of its steps, in milliseconds. */
export const RANGES = {
  '1h': { length: HOUR, step: MINUTE },
  '6h': { length: 6 * HOUR, step: 5 * MINUTE },
  '24h': { length: DAY, step: 10 * MINUTE },
  '7d': { length: 7 * DAY, step: HOUR },
} as const;
export type Range = keyof typeof RANGES;
/** The range if the address names none. */
export const DEFAULT_RANGE: Range = '24h';

export const NAMES = [
  'orders_placed',
  'orders_delivered',
  'orders_cancelled',
  'acceptance_time',
  'lateness',
  'delivery_time',
  'placing_latency',
  'tasks_waiting',
  'task_age',
] as const;
export type Name = (typeof NAMES)[number];

/** Time by which the counting may be behind before the page says so, in milliseconds. */
export const PATIENCE = 5 * MINUTE;

/** Returns the query of a range until now. */
export function queryOf(range: Range, now: number): { names: Name[]; from: string; to: string; step: number } {
  const { length, step } = RANGES[range];
  return {
    names: [...NAMES],
    from: new Date(Math.floor((now - length) / step) * step).toISOString(),
    to: new Date(now).toISOString(),
    step: step / 1_000,
  };
}

/** How complete the numbers are. */
export type Completeness =
  /** Some shards did not answer. */
  | { kind: 'missing'; shards: string[] }
  /** A shard has counted no events of the range yet. */
  | { kind: 'none' }
  | { kind: 'behind' | 'complete'; until: string };

export function completenessOf(statistics: Statistics): Completeness {
  const { missing_shards: shards, complete_until: until } = statistics;
  if (shards !== undefined && shards.length > 0) return { kind: 'missing', shards };
  if (Date.parse(until) <= Date.parse(statistics.from)) return { kind: 'none' };
  return { kind: Date.parse(statistics.to) - Date.parse(until) > PATIENCE ? 'behind' : 'complete', until };
}

function find(statistics: Statistics, name: Name): StatisticsSeries | undefined {
  return statistics.series.find((series) => series.name === name);
}

/** Whether a series has values, so that a plot of it says something. */
export function hasValues(statistics: Statistics, ...names: Name[]): boolean {
  return names.some((name) => statistics.series.some((series) => series.name === name && series.points.length > 0));
}

/** Every step of the range, with its point if there is one. */
function steps(statistics: Statistics, series: StatisticsSeries | undefined): { at: number; point: StatisticsPoint | undefined }[] {
  const points = new Map((series?.points ?? []).map((point) => [Date.parse(point.at), point]));
  const from = Date.parse(statistics.from);
  const count = Math.max(0, Math.ceil((Date.parse(statistics.to) - from) / (statistics.step * 1_000)));
  return Array.from({ length: count }, (_, index) => {
    const at = from + index * statistics.step * 1_000;
    return { at, point: points.get(at) };
  });
}

/**
 * Returns how often something happened per minute. A step without a point is a zero as far as the events are counted, and a
 * gap after that. The last step is divided by its counted minutes, so that it does not seem to fall.
 */
export function ratePerMinute(statistics: Statistics, name: Name): Point[] {
  const until = Math.min(Date.parse(statistics.counted_until), Date.parse(statistics.to));
  const series = find(statistics, name);
  return steps(statistics, series).map(({ at, point }) => {
    const minutes = (Math.min(until, at + statistics.step * 1_000) - at) / MINUTE;
    return { at, value: minutes < 1 ? undefined : (point?.count ?? 0) / minutes };
  });
}

/** Returns rates per minute as rates per hour if all of them are below 1 per minute: nobody counts 0.3 orders. */
export function inRateUnit(rates: readonly Series[]): { unit: 'minute' | 'hour'; series: Series[] } {
  if (rates.some((series) => peakOf(series) >= 1)) return { unit: 'minute', series: [...rates] };
  const series = rates.map(({ name, points }) => ({
    name,
    points: points.map(({ at, value }) => ({ at, value: value === undefined ? undefined : value * 60 })),
  }));
  return { unit: 'hour', series };
}

export type Quantile = 'p50' | 'p90' | 'p99';

/** Returns a quantile of durations in seconds. A step in which nothing was measured is a gap. */
export function quantileOf(statistics: Statistics, name: Name, quantile: Quantile): Point[] {
  return steps(statistics, find(statistics, name)).map(({ at, point }) => ({ at, value: point?.[quantile] }));
}

/** Returns the largest state of each queue per step, the queue with the largest state first. */
export function queuesOf(statistics: Statistics, name: 'tasks_waiting' | 'task_age'): Series[] {
  return statistics.series
    .filter((series) => series.name === name && series.points.length > 0)
    .map((series) => ({
      name: series.queue ?? '',
      points: steps(statistics, series).map(({ at, point }) => ({ at, value: point?.max })),
    }))
    .sort((one, other) => peakOf(other) - peakOf(one) || (one.name < other.name ? -1 : 1));
}

/** Largest value of a series; 0 without values. */
export function peakOf(series: Series): number {
  return series.points.reduce((largest, point) => Math.max(largest, point.value ?? 0), 0);
}

export type Unit = 'millisecond' | 'second' | 'minute' | 'hour';
const UNITS: readonly { unit: Unit; seconds: number; below: number }[] = [
  { unit: 'millisecond', seconds: 0.001, below: 2 },
  { unit: 'second', seconds: 1, below: 2 * 60 },
  { unit: 'minute', seconds: 60, below: 2 * 3_600 },
  { unit: 'hour', seconds: 3_600, below: Number.POSITIVE_INFINITY },
];

/**
 * Returns series in seconds in the unit that gives their largest value few digits. `smallest` is the smallest unit that suits
 * what was measured: nobody counts the lateness of food in milliseconds.
 */
export function inUnit(series: readonly Series[], smallest: Unit): { unit: Unit; series: Series[] } {
  const largest = Math.max(0, ...series.map(peakOf));
  const suitable = UNITS.slice(UNITS.findIndex(({ unit }) => unit === smallest));
  const chosen = suitable.find(({ below }) => largest < below) ?? { unit: 'second' as const, seconds: 1 };
  const scaled = series.map(({ name, points }) => ({
    name,
    points: points.map(({ at, value }) => ({ at, value: value === undefined ? undefined : value / chosen.seconds })),
  }));
  return { unit: chosen.unit, series: scaled };
}

/** Smallest unit of the durations of a name. */
export function smallestUnit(name: Name): Unit {
  return name === 'placing_latency' ? 'millisecond' : 'second';
}

/** Rounds a value to what a reader can compare: three digits, and whole numbers from 100 on. */
export function rounded(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}

/** Number of things that happened in the range. */
export function countOf(statistics: Statistics, name: Name): number {
  return (find(statistics, name)?.points ?? []).reduce((sum, point) => sum + (point.count), 0);
}

export interface Durations {
  /** In milliseconds. */
  mean: number;
  maximum: number;
}

/** Returns mean and maximum of all durations of the range; `undefined` without any. Both are exact, as quantiles are not. */
export function durationsOf(statistics: Statistics, name: Name): Durations | undefined {
  const points = find(statistics, name)?.points ?? [];
  const count = points.reduce((sum, point) => sum + (point.count), 0);
  if (count === 0) return undefined;
  const sum = points.reduce((total, point) => total + (point.sum ?? 0), 0);
  return { mean: (sum / count) * 1_000, maximum: Math.max(...points.map((point) => point.max ?? 0)) * 1_000 };
}
