import { language } from '../lib/i18n/index.svelte';

/** Lengths from this one on are written in kilometres, in metres. */
const KILOMETRES_FROM = 1_000;

/** Returns a length as the page's language writes it: `350 m`, `2.3 km`. */
export function length(metres: number): string {
  const far = metres >= KILOMETRES_FROM;
  const value = far ? metres / 1_000 : Math.round(metres / 10) * 10;
  return new Intl.NumberFormat(language.locale, {
    style: 'unit',
    unit: far ? 'kilometer' : 'meter',
    maximumFractionDigits: far && value < 10 ? 1 : 0,
  }).format(value);
}
