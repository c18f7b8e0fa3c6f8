// Money, times and durations as the page's language writes them.
//
// Each function reads the language when it is called, so that components show another language at once.
import { language } from './i18n/index.svelte';

/**
 * Currencies whose minor unit is not a hundredth (ISO 4217). `Intl` cannot answer this: its digits are those in daily
 * use, such as 0 for the Iraqi dinar, whose minor unit is a thousandth.
 */
const DIGITS: Record<string, number> = {
  ...digits(0, 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'),
  ...digits(3, 'BHD IQD JOD KWD LYD OMR TND'),
  ...digits(4, 'CLF UYW'),
};

function digits(count: number, currencies: string): Record<string, number> {
  return Object.fromEntries(currencies.split(' ').map((currency) => [currency, count]));
}

/** Number of digits of a currency's minor unit. */
export function minorDigits(currency: string): number {
  return DIGITS[currency] ?? 2;
}

/** Returns an amount of minor units as a decimal number in text, which is exact for every amount. */
export function decimal(amount: number, currency: string): string {
  const count = minorDigits(currency);
  if (count === 0) return String(amount);
  const text = String(Math.abs(amount)).padStart(count + 1, '0');
  return `${amount < 0 ? '-' : ''}${text.slice(0, -count)}.${text.slice(-count)}`;
}

const formats = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat | Intl.RelativeTimeFormat>();

/** Returns a formatter of the page's language. Formatters are kept, because their construction is slow. */
function cached<T extends Intl.NumberFormat | Intl.DateTimeFormat | Intl.RelativeTimeFormat>(
  key: string,
  create: (locale: string) => T,
): T {
  const whole = `${language.region} ${key}`;
  const existing = formats.get(whole);
  if (existing !== undefined) return existing as T;
  const created = create(language.region);
  formats.set(whole, created);
  return created;
}

/** A symbol of Latin letters and a sign, such as `UK£`. Right-to-left text shows its letters and its sign in the wrong order. */
const MIXED_SYMBOL = /\p{Script=Latin}.*\p{Sc}/u;

function moneyFormat(locale: string, currency: string): Intl.NumberFormat {
  const count = minorDigits(currency);
  const digits = { minimumFractionDigits: count, maximumFractionDigits: count };
  return new Intl.NumberFormat(locale, { style: 'currency', currency, ...digits });
}

/** Returns the symbol of a currency as English writes it, which is unambiguous: `£`, `CA$`. */
function englishSymbol(currency: string): string {
  const parts = moneyFormat('en', currency).formatToParts(0);
  return parts.find(({ type }) => type === 'currency')?.value ?? currency;
}

/**
 * Returns an amount of minor units with its currency. In right-to-left languages the amount is isolated from the text around
 * it, and a symbol of letters and a sign is replaced by the English one, isolated as well.
 */
export function money(amount: number, currency: string): string {
  const format = cached(`money ${currency}`, (locale) => moneyFormat(locale, currency));
  const value = decimal(amount, currency) as Intl.StringNumericLiteral;
  if (language.direction === 'ltr') return format.format(value);
  const parts = format.formatToParts(value).map(({ type, value: part }) => {
    const isMixed = type === 'currency' && MIXED_SYMBOL.test(part);
    return isMixed ? `\u2066${englishSymbol(currency)}\u2069` : part;
  });
  return `\u2067${parts.join('')}\u2069`;
}

export function number(value: number): string {
  return cached('number', (locale) => new Intl.NumberFormat(locale)).format(value);
}

/** Returns a rate in percent, such as `8.875`, as the language writes percentages. */
export function percent(rate: string): string {
  const options = { style: 'percent', maximumFractionDigits: 4 } as const;
  const format = cached('percent', (locale) => new Intl.NumberFormat(locale, options));
  return format.format(`${rate}e-2` as Intl.StringNumericLiteral);
}

/** Returns a number with at most two significant digits, and a whole number from 100 on. */
export function roughNumber(value: number): string {
  if (Math.abs(value) >= 100) return number(Math.round(value));
  return cached('rough', (locale) => new Intl.NumberFormat(locale, { maximumSignificantDigits: 2 })).format(value);
}

/** Returns a format of times in a zone. `key` identifies the options: the construction of a format is slow. */
export function dateFormat(key: string, zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  return cached(`${key} ${zone}`, (locale) => {
    try {
      return new Intl.DateTimeFormat(locale, { ...options, timeZone: zone });
    } catch {
      // The browser does not know the zone: UTC, with its name, is unambiguous.
      const named: Intl.DateTimeFormatOptions = { timeZone: 'UTC' };
      if (options.timeStyle !== undefined) named.timeStyle = 'long';
      else if (options.hour !== undefined) named.timeZoneName = 'short';
      return new Intl.DateTimeFormat(locale, { ...options, ...named });
    }
  });
}

type Time = string | number | Date;

/** Returns the time of day in a zone, such as the restaurant's. It never breaks between "10:30" and "AM". */
export function time(at: Time, zone: string): string {
  return dateFormat('time', zone, { hour: '2-digit', minute: '2-digit' }).format(new Date(at)).replaceAll(' ', '\u00a0');
}

/** Returns date and time of day in a zone. */
export function dateTime(at: Time, zone: string): string {
  return dateFormat('dateTime', zone, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(at));
}

/** Returns date and time of day in a zone, to the second. */
export function dateTimeSeconds(at: Time, zone: string): string {
  return dateFormat('dateTimeSeconds', zone, { dateStyle: 'medium', timeStyle: 'medium' }).format(new Date(at));
}

/** Returns the day in a zone, such as `Mon 30`. */
export function day(at: Time, zone: string): string {
  return dateFormat('day', zone, { weekday: 'short', day: 'numeric' }).format(new Date(at));
}

/** The zone of the device, for times that belong to no restaurant. */
export function deviceZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Returns a duration as a countdown shows it: `4:05`, `1:02:00`, and `−0:30` once it is over. */
export function countdown(milliseconds: number): string {
  // A countdown shows 0:00 only when the time is over, and −0:01 a full second later.
  const seconds = milliseconds >= 0 ? Math.ceil(milliseconds / SECOND) : Math.floor(-milliseconds / SECOND);
  const two = cached('two digits', (locale) => new Intl.NumberFormat(locale, { minimumIntegerDigits: 2 }));
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const sign = milliseconds < 0 && seconds > 0 ? '−' : '';
  const head = hours > 0 ? `${number(hours)}:${two.format(minutes)}` : number(minutes);
  // The isolate keeps the sign before the digits in right-to-left text.
  return `\u2066${sign}${head}:${two.format(seconds % 60)}\u2069`;
}

/** Returns a duration in its largest useful unit: `12 min`, `3 hr`. */
export function duration(milliseconds: number): string {
  const [value, unit] = inUnits(Math.abs(milliseconds));
  return cached(
    `duration ${unit}`,
    (locale) => new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'short' }),
  ).format(value);
}

/** Returns a value with its unit: `12 ms`, `3.5 min`. */
export function measure(value: number, unit: 'millisecond' | 'second' | 'minute' | 'hour'): string {
  return cached(
    `measure ${unit}`,
    (locale) => new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'short' }),
  ).format(value);
}

/** Returns the distance to a time: `5 minutes ago`, `in 2 hours`. */
export function relative(milliseconds: number): string {
  const [value, unit] = inUnits(Math.abs(milliseconds));
  const format = cached('relative', (locale) => new Intl.RelativeTimeFormat(locale, { numeric: 'auto' }));
  return format.format(milliseconds < 0 ? -value : value, unit);
}

function inUnits(milliseconds: number): [number, 'second' | 'minute' | 'hour' | 'day'] {
  if (milliseconds < MINUTE) return [Math.floor(milliseconds / SECOND), 'second'];
  if (milliseconds < HOUR) return [Math.floor(milliseconds / MINUTE), 'minute'];
  if (milliseconds < DAY) return [Math.floor(milliseconds / HOUR), 'hour'];
  return [Math.floor(milliseconds / DAY), 'day'];
}
