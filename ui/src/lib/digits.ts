// Texts of digits that people type: an Arabic or Hindi keyboard writes other digits than `0` to `9`.

/** Arabic-Indic, extended Arabic-Indic, and Devanagari digits. */
const DIGITS = /[\u0660-\u0669\u06f0-\u06f9\u0966-\u096f]/g;
const DEVANAGARI = 0x0966;

/** Returns a text with its digits as `0` to `9`. */
export function asciiDigits(text: string): string {
  return text.replace(DIGITS, (digit) => {
    const code = digit.charCodeAt(0);
    // The Arabic zeros end in 0, the Devanagari zero ends in 6.
    return String(code >= DEVANAGARI ? code - DEVANAGARI : code % 16);
  });
}

/** Returns a whole number within limits; `undefined` for every other text. */
export function numberIn(text: string, minimum: number, maximum: number): number | undefined {
  const digits = asciiDigits(text.trim());
  const value = /^\d{1,9}$/.test(digits) ? Number(digits) : NaN;
  return value >= minimum && value <= maximum ? value : undefined;
}

/** Letters that people confuse in a display code, as Crockford's base 32 reads them. */
const CONFUSED: Record<string, string> = { I: '1', L: '1', O: '0' };

/**
 * Returns a display code as the server writes it, from what a person typed: without separators, in upper case, `O` as `0`.
 * Letters that no code has stay, so that a name is not taken for a code.
 */
export function normalizeCode(text: string): string {
  return asciiDigits(text.toUpperCase())
    .replace(/[^\p{L}\d]/gu, '')
    .replace(/[ILO]/g, (letter) => CONFUSED[letter] ?? letter);
}
