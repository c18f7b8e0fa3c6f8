import { expect, it } from 'vitest';
import { numberIn } from './endpoint';

it.each([
  ['1', 1],
  [' 100 ', 100],
  ['0', undefined],
  ['101', undefined],
  ['1.5', undefined],
  ['-1', undefined],
  ['', undefined],
  ['1e1', undefined],
])('%j from 1 to 100 is %s', (text, expected) => {
  expect(numberIn(text, 1, 100)).toBe(expected);
});
