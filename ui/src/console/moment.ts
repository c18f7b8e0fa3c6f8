// A time in a sentence: the time of day says enough for a time of the last hours.
import { dateTime, time } from '../lib/format';

/** Distance within which the time of day says enough, in milliseconds. */
export const RECENT = 12 * 3_600_000;

/** Returns a time in a zone as a sentence names it. */
export function moment(at: string, zone: string, now: number): string {
  return Math.abs(Date.parse(at) - now) < RECENT ? time(at, zone) : dateTime(at, zone);
}
