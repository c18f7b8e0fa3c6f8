import { expect, it } from 'vitest';
import { hiddenEnds } from './hidden-ends';

it.each([
  ['fits', 0, 300, { start: false, end: false }],
  ['is at its start', 0, 700, { start: false, end: true }],
  ['is between its ends', 200, 700, { start: true, end: true }],
  ['is at its end', 400, 700, { start: true, end: false }],
  ['is almost at its end, as browsers round', 399, 700, { start: true, end: false }],
  ['is between its ends, from right to left', -200, 700, { start: true, end: true }],
  ['is at its end, from right to left', -400, 700, { start: true, end: false }],
])('a box that %s', (_, scrollLeft, scrollWidth, ends) => {
  expect(hiddenEnds({ scrollLeft, scrollWidth, clientWidth: 300 })).toEqual(ends);
});
