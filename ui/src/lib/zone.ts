// Zones of time as numbers.

const WHOLE: Intl.DateTimeFormatOptions = {
  hourCycle: 'h23',
  year: 'numeric',
  month: 'numeric',
  day: 'numeric',
  hour: 'numeric',
  minute: 'numeric',
  second: 'numeric',
};

/** The formats by zone, because their construction is slow; `undefined` for zones that the browser does not know. */
const formats = new Map<string, Intl.DateTimeFormat | undefined>();

function formatOf(zone: string): Intl.DateTimeFormat | undefined {
  if (!formats.has(zone)) {
    let format: Intl.DateTimeFormat | undefined;
    try {
      format = new Intl.DateTimeFormat('en-US', { ...WHOLE, timeZone: zone });
    } catch {
      // UTC, whose offset is 0.
    }
    formats.set(zone, format);
  }
  return formats.get(zone);
}

/** Returns the offset of a zone from UTC at a time, in milliseconds; 0 if the browser does not know the zone. */
export function zoneOffset(at: number, zone: string): number {
  const parts = formatOf(zone)?.formatToParts(new Date(at));
  if (parts === undefined) return 0;
  const of = (type: Intl.DateTimeFormatPartTypes) => Number(parts.find((part) => part.type === type)?.value ?? 0);
  const local = Date.UTC(of('year'), of('month') - 1, of('day'), of('hour'), of('minute'), of('second'));
  return local - Math.floor(at / 1_000) * 1_000;
}
