import { describe, expect, it } from 'vitest';
import { dateTime } from '../lib/format';
import { endOfDay, time, timeOn, untilOf } from './time';

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

describe('a time of day', () => {
  const now = at('2026-06-01T22:30:00Z');

  it('has its weekday only if that is another day in the zone', () => {
    const same = (moment: string | number, zone: string) => expect(timeOn(moment, zone, now)).toBe(time(moment, zone));
    const other = (moment: string | number, zone: string, weekday: string) =>
      expect(timeOn(moment, zone, now)).toMatch(new RegExp(`^${weekday},?\\s${time(moment, zone)}$`));
    same('2026-06-01T20:00:00Z', 'UTC');
    other('2026-06-04T09:00:00Z', 'UTC', 'Thu');
    same('2026-06-01T22:59:00Z', 'Europe/London');
    // In London, the next day has begun.
    other('2026-06-01T23:00:00Z', 'Europe/London', 'Tue');
    other(at('2026-05-31T21:00:00Z'), 'UTC', 'Sun');
  });

  it('has its date if the weekday might be that of another week', () => {
    // On 1 June 2026 and on 1 February 2027, the weekday and the day of the month are the same.
    for (const far of ['2026-06-08T09:00:00Z', '2026-05-25T09:00:00Z', '2027-02-01T20:00:00Z']) expect(timeOn(far, 'UTC', now)).toBe(dateTime(far, 'UTC'));
  });

  it.each(['2026-06-01T09:02:00Z', '2026-06-01T00:37:00Z'])('is written as it is beside a date: %s', (moment) => {
    const plain = (text: string) => text.replaceAll(/\s/g, ' ');
    expect(plain(dateTime(moment, 'UTC')).endsWith(plain(time(moment, 'UTC')))).toBe(true);
  });

  it('names UTC if the browser does not know the zone', () => {
    expect(time('2026-06-01T09:02:00Z', 'Nowhere/Unknown')).toContain('UTC');
    expect(timeOn('2026-06-02T09:02:00Z', 'Nowhere/Unknown', now)).toMatch(/^Tue\s9:02:00\sAM\sUTC$/);
    expect(timeOn('2026-07-02T09:02:00Z', 'Nowhere/Unknown', now)).toContain('Jul 2, 2026');
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
