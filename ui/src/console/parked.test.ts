import { expect, it } from 'vitest';
import { withHeld } from './parked.svelte';

const tasks = (ids: string) => [...ids].map((id) => ({ id }));

it.each([
  ['ABHC', 'C', 'HC'],
  ['ABHC', 'XABC', 'XABHC'],
  ['H', '', 'H'],
  ['AHB', 'AHB', 'AHB'],
])('a held task stays where it was: %s, then %s', (before, read, expected) => {
  const shown = withHeld(tasks(before), tasks(read), (id) => id === 'H');
  expect(shown.map(({ id }) => id).join('')).toBe(expected);
});
