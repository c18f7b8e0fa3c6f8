// Scales and paths of plots: from numbers to coordinates. `components/Plot.svelte` draws them.

export interface Point {
  /** Milliseconds since 1970. */
  at: number;
  /** Absent: nothing was measured, and the line has a gap. */
  value: number | undefined;
}

export interface Series {
  name: string;
  points: readonly Point[];
}

/** Returns the step between ticks that gives at most `count` steps up to `maximum`: 1, 2 or 5 times a power of ten. */
export function niceStep(maximum: number, count: number): number {
  if (!(maximum > 0)) return 1;
  const rough = maximum / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((candidate) => candidate * power >= rough * (1 - 1e-9)) ?? 10;
  return factor * power;
}

/** Returns the ticks of an axis from 0; the last one is not below `maximum`. */
export function ticks(maximum: number, count: number): number[] {
  const step = niceStep(maximum, count);
  const last = Math.max(1, Math.ceil(maximum / step - 1e-9));
  // A product, because repeated sums of fractions drift.
  return Array.from({ length: last + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const TIME_STEPS = [MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY];

/**
 * Returns the times of an axis, at most `count`, at round distances from midnight. `offset` returns the zone's distance to UTC
 * at a time, in milliseconds, so that the times are round where the reader is, also after the clocks there have changed.
 */
export function timeTicks(from: number, to: number, count: number, offset: (at: number) => number = () => 0): number[] {
  if (!(to > from) || count < 1) return [];
  const step = TIME_STEPS.find((candidate) => (to - from) / candidate <= count) ?? Math.ceil((to - from) / count / DAY) * DAY;
  const result: number[] = [];
  for (let local = Math.ceil((from + offset(from)) / step) * step; ; local += step) {
    const at = local - offset(local - offset(local));
    if (at > to) return result.slice(0, count + 1);
    // A time that the clocks skip is that of another tick.
    if (at >= from && at > (result.at(-1) ?? -Infinity)) result.push(at);
  }
}

/** A linear scale. A range without extent maps to its middle. */
export function linear(from: number, to: number, start: number, end: number): (value: number) => number {
  if (to === from) return () => (start + end) / 2;
  return (value) => start + ((value - from) / (to - from)) * (end - start);
}

/** Largest value of some series; 0 without values. */
export function maximumOf(series: readonly Series[]): number {
  return series.reduce(
    (largest, { points }) => points.reduce((value, point) => Math.max(value, point.value ?? 0), largest),
    0,
  );
}

/** Splits points at the gaps. */
export function segments(points: readonly Point[]): { at: number; value: number }[][] {
  const result: { at: number; value: number }[][] = [];
  let open: { at: number; value: number }[] | undefined;
  for (const { at, value } of points) {
    if (value === undefined) {
      open = undefined;
    } else {
      if (open === undefined) result.push((open = []));
      open.push({ at, value });
    }
  }
  return result;
}

type Scale = (value: number) => number;

function coordinate(value: number): string {
  return String(Math.round(value * 100) / 100);
}

/** Path of a line. It leaves out points without a neighbour, which `lonePoints` returns. */
export function linePath(points: readonly Point[], x: Scale, y: Scale): string {
  return segments(points)
    .filter((segment) => segment.length > 1)
    .map((segment) => `M${segment.map(({ at, value }) => `${coordinate(x(at))} ${coordinate(y(value))}`).join('L')}`)
    .join('');
}

/** Returns the points between two gaps, which no line shows. */
export function lonePoints(points: readonly Point[]): { at: number; value: number }[] {
  return segments(points)
    .filter((segment) => segment.length === 1)
    .flat();
}

/** Path of the area between a line and the axis. */
export function areaPath(points: readonly Point[], x: Scale, y: Scale): string {
  return segments(points)
    .map((segment) => {
      const first = segment[0]?.at ?? 0;
      const last = segment.at(-1)?.at ?? 0;
      const top = segment.map(({ at, value }) => `${coordinate(x(at))} ${coordinate(y(value))}`);
      const base = coordinate(y(0));
      return `M${coordinate(x(first))} ${base}L${top.join('L')}L${coordinate(x(last))} ${base}Z`;
    })
    .join('');
}
