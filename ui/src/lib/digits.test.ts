import { expect, it } from 'vitest';
import { asciiDigits, normalizeCode, numberIn } from './digits';

it('digits of other scripts are read', () => {
  expect(asciiDigits('٠١٢٣٤٥٦٧٨٩')).toBe('0123456789');
  expect(asciiDigits('۰۱۲۳۴۵۶۷۸۹')).toBe('0123456789');
  expect(asciiDigits('०१२३४५६७८९')).toBe('0123456789');
  expect(asciiDigits('+٩٦٦ 50')).toBe('+966 50');
});

it.each([
  ['1', 1],
  [' 100 ', 100],
  ['١٢', 12],
  ['२०', 20],
  ['0', undefined],
  ['101', undefined],
  ['1.5', undefined],
  ['-1', undefined],
  ['1e1', undefined],
  ['', undefined],
  ['many', undefined],
])('from 1 to 100, %s is %s', (text, expected) => {
  expect(numberIn(text, 1, 100)).toBe(expected);
});

it.each([
  ['o-il', '011'],
  [' #4z1-kh ', '4Z1KH'],
  ['\u2068٤Z١KH\u2069', '4Z1KH'],
  ['*४z१kh*', '4Z1KH'],
  ['- ', ''],
  // A name is no code, although its other letters might be a part of one.
  ['östl', 'ÖST1'],
])('the code %j is %j', (text, code) => {
  expect(normalizeCode(text)).toBe(code);
});
