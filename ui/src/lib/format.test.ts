import { beforeEach, describe, expect, it } from 'vitest';
import { countdown, dateTime, dateTimeSeconds, decimal, duration, money, percent, relative, roughNumber, time } from './format';
import { setMessages } from './i18n/index.svelte';
import type { Locale } from './i18n/types';

const speak = (locale: Locale) => setMessages(locale, {});
/** The text without the characters that only control direction and spacing. */
const plain = (text: string) => text.replace(/[\u2066-\u2069\u200e\u200f\u061c]/g, '').replace(/[\u00a0\u202f]/g, ' ');

beforeEach(() => speak('en'));

it.each([
  ['en', '8.875', '8.875%'],
  ['en', '0.0001', '0.0001%'],
  ['en', '100', '100%'],
  ['en', '20.0', '20%'],
  ['hi', '18', '18%'],
  ['ar', '2.5', '2.5%'],
] as const)('a rate in %s: %s is %s', (locale, rate, text) => {
  speak(locale);
  expect(plain(percent(rate))).toBe(text);
});

describe('money', () => {
  it.each([
    [1250, 'EUR', '€12.50'],
    [5, 'GBP', '£0.05'],
    [0, 'USD', '$0.00'],
    [-1999, 'USD', '-$19.99'],
    [1500, 'JPY', '¥1,500'],
    [12345, 'KWD', 'KWD 12.345'],
    // Daily use has no digits for these, but their minor unit is a hundredth or a thousandth.
    [12345, 'IQD', 'IQD 12.345'],
    [250000, 'IDR', 'IDR 2,500.00'],
    [129900, 'HUF', 'HUF 1,299.00'],
    [1000000000000, 'EUR', '€10,000,000,000.00'],
  ])('of %i %s is %s', (amount, currency, text) => {
    expect(plain(money(amount, currency))).toBe(text);
  });

  it('is written as the language writes it', () => {
    speak('hi');
    expect(plain(money(12345600, 'INR'))).toBe('₹1,23,456.00');
    speak('ar');
    expect(plain(money(1250, 'EGP'))).toMatch(/12[.,٫]50|١٢٫٥٠/);
  });

  it.each([
    ['ar', 'GBP', '\u2067\u200f8.95\u00a0\u2066£\u2069\u2069'],
    ['ar', 'USD', '\u2067\u200f8.95\u00a0\u2066$\u2069\u2069'],
    ['ar', 'CAD', '\u2067\u200f8.95\u00a0\u2066CA$\u2069\u2069'],
    ['ar', 'EUR', '\u2067\u200f8.95\u00a0€\u2069'],
    ['ar', 'EGP', '\u2067\u200f8.95\u00a0ج.م.\u200f\u2069'],
  ] as const)('keeps its parts in order in %s, with %s', (locale, currency, text) => {
    speak(locale);
    expect(money(895, currency)).toBe(text);
  });

  it('is exact beyond the precision of floating-point numbers', () => {
    expect(decimal(9007199254740991, 'EUR')).toBe('90071992547409.91');
    expect(decimal(-7, 'BHD')).toBe('-0.007');
  });
});

describe('times', () => {
  it('are in the zone of the restaurant', () => {
    const at = '2026-11-30T18:45:00.000Z';
    expect(plain(time(at, 'Asia/Kolkata'))).toBe('12:15 AM');
    expect(plain(time(at, 'Europe/Berlin'))).toBe('07:45 PM');
    expect(plain(dateTime(at, 'Asia/Kolkata'))).toBe('Dec 1, 2026, 12:15 AM');
  });

  it('are written as in the region of the user', () => {
    setMessages('en', {}, 'en-GB');
    expect(plain(dateTimeSeconds('2026-11-30T18:45:07Z', 'Europe/London'))).toBe('30 Nov 2026, 18:45:07');
    expect(plain(dateTime('2026-11-30T18:45:00Z', 'Europe/London'))).toBe('30 Nov 2026, 18:45');
  });

  it('are in UTC, and say so, if the browser does not know the zone', () => {
    expect(plain(time('2026-11-30T18:45:00Z', 'Mars/Olympus'))).toBe('06:45 PM UTC');
    expect(plain(dateTime('2026-11-30T18:45:00Z', 'Mars/Olympus'))).toBe('Nov 30, 2026, 6:45:00 PM UTC');
  });
});

describe('durations', () => {
  it.each([
    [65_000, '1:05'],
    [64_001, '1:05'],
    [1, '0:01'],
    [0, '0:00'],
    [-500, '0:00'],
    [-61_000, '−1:01'],
    [3_725_000, '1:02:05'],
  ])('of %i ms count down as %s', (milliseconds, text) => {
    expect(plain(countdown(milliseconds))).toBe(text);
  });

  it('have one unit', () => {
    expect(plain(duration(12 * 60_000))).toBe('12 min');
    expect(plain(duration(3 * 3_600_000))).toBe('3 hr');
    expect(relative(-5 * 60_000)).toBe('5 minutes ago');
    expect(relative(86_400_000)).toBe('tomorrow');
    speak('ar');
    expect(relative(-2 * 3_600_000)).toBe('قبل ساعتين');
  });
});

describe('a rough number', () => {
  it.each([
    ['en', 17.52, '18'],
    ['en', 0.292, '0.29'],
    ['en', 2.5, '2.5'],
    ['en', 0, '0'],
    ['en', 1234.5, '1,235'],
    ['hi', 4.26, '4.3'],
    ['ar', 17.52, '18'],
  ] as const)('in %s of %d is %s', (locale, value, text) => {
    speak(locale);
    expect(plain(roughNumber(value))).toBe(text);
  });
});
