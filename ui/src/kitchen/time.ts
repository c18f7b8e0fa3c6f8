// Times of day in the restaurant's zone, as the server's time.
import { clock } from '../lib/clock';
import { dateFormat, dateTime } from '../lib/format';
import { zoneOffset } from '../lib/zone';

/** Distance within which a weekday is enough to name a day. */
const WEEKDAYS = 6 * 86_400_000;

/** Returns a time of day as `dateTime` writes it. It never breaks between "10:30" and "AM". */
export function time(at: string | number, zone: string): string {
  return dateFormat('short time', zone, { timeStyle: 'short' }).format(new Date(at)).replaceAll(' ', '\u00a0');
}

/** Returns a time of day, with its weekday unless that is the day of `now`, or with its date if it is far away. */
export function timeOn(at: string | number, zone: string, now = clock.now()): string {
  const date = dateFormat('date', zone, { dateStyle: 'short' });
  if (date.format(new Date(at)) === date.format(now)) return time(at, zone);
  if (Math.abs(new Date(at).getTime() - now) >= WEEKDAYS) return dateTime(at, zone);
  return `${dateFormat('weekday', zone, { weekday: 'short' }).format(new Date(at))} ${time(at, zone)}`;
}

const DAY = 24 * 3_600_000;
/** Hour at which a restaurant's day ends: the orders of a late evening belong to it. */
export const DAY_END_HOUR = 5;

/** Returns the next end of the restaurant's day: the next 05:00 in its zone. */
export function endOfDay(now: number, zone: string): number {
  const local = now + zoneOffset(now, zone);
  const today = Math.floor(local / DAY) * DAY + DAY_END_HOUR * 3_600_000;
  const end = today > local ? today : today + DAY;
  // The offset may change between now and then.
  return end - zoneOffset(end - zoneOffset(now, zone), zone);
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
