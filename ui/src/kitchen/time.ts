// Times of day in the restaurant's zone, as the server's time.
import { clock } from '../lib/clock';
import { day, time } from '../lib/format';

/** Returns a time of day, with its day unless that is the day of `now`. */
export function timeOn(at: string | number, zone: string, now = clock.now()): string {
  const on = day(at, zone);
  return on === day(now, zone) ? time(at, zone) : `${on}, ${time(at, zone)}`;
}

/** Returns the offset of a zone from UTC at a time, in milliseconds. */
function offset(at: number, zone: string): number {
  const parts = formatOf(zone).formatToParts(new Date(at));
  const of = (type: Intl.DateTimeFormatPartTypes) => Number(parts.find((part) => part.type === type)?.value ?? 0);
  const local = Date.UTC(of('year'), of('month') - 1, of('day'), of('hour'), of('minute'), of('second'));
  return local - Math.floor(at / 1_000) * 1_000;
}

function formatOf(zone: string): Intl.DateTimeFormat {
  const whole: Intl.DateTimeFormatOptions = {
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  };
  try {
    return new Intl.DateTimeFormat('en-US', { ...whole, timeZone: zone });
  } catch {
    // The browser does not know the zone.
    return new Intl.DateTimeFormat('en-US', { ...whole, timeZone: 'UTC' });
  }
}

const DAY = 24 * 3_600_000;
/** Hour at which a restaurant's day ends: the orders of a late evening belong to it. */
export const DAY_END_HOUR = 5;

/** Returns the next end of the restaurant's day: the next 05:00 in its zone. */
export function endOfDay(now: number, zone: string): number {
  const local = now + offset(now, zone);
  const today = Math.floor(local / DAY) * DAY + DAY_END_HOUR * 3_600_000;
  const end = today > local ? today : today + DAY;
  // The offset may change between now and then.
  return end - offset(end - offset(now, zone), zone);
}

/** The ends that the board offers for a pause and for an item that is off. */
export const ENDS = ['15', '30', '60', '120', 'day', 'open'] as const;
export type EndChoice = (typeof ENDS)[number];

/** Returns the time of a choice as the API takes it; `undefined` for an end by hand. */
export function untilOf(choice: EndChoice, now: number, zone: string): string | undefined {
  if (choice === 'open') return undefined;
  const end = choice === 'day' ? endOfDay(now, zone) : now + Number(choice) * 60_000;
  return new Date(end).toISOString();
}
