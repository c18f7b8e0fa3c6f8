// The page shows times in the restaurant's zone, and names the zone to readers in another one.

/** Returns the offset of a zone from UTC at a moment, such as `GMT+05:30`, or `undefined` if the browser does not know it. */
export function offsetOf(zone: string, at: number): string | undefined {
  try {
    const format = new Intl.DateTimeFormat('en', { timeZone: zone, timeZoneName: 'longOffset' });
    return format.formatToParts(new Date(at)).find((part) => part.type === 'timeZoneName')?.value;
  } catch {
    return undefined;
  }
}

/** Whether clocks in two zones differ at a moment. */
export function zonesDiffer(one: string, other: string, at: number): boolean {
  return one !== other && offsetOf(one, at) !== offsetOf(other, at);
}

/** Returns the name of a zone in a language, with its city: `India Standard Time (Kolkata)`. */
export function zoneName(zone: string, locale: string, at: number): string {
  const city = zone.split('/').at(-1)?.replaceAll('_', ' ') ?? zone;
  try {
    const format = new Intl.DateTimeFormat(locale, { timeZone: zone, timeZoneName: 'long' });
    const name = format.formatToParts(new Date(at)).find((part) => part.type === 'timeZoneName')?.value;
    return name === undefined ? zone : `${name} (${city})`;
  } catch {
    return zone;
  }
}
