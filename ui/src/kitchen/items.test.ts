import { expect, it } from 'vitest';
import { adjustStock, setAvailability, setStock } from './commands';
import { findItems, listItems, stockAfter } from './items';

const menu = {
  categories: [
    { items: [{ id: 'dal', name: 'Dal' }, { id: 'naan', name: 'Garlic Naan' }] },
    { items: [{ id: 'lassi', name: 'Mango Lassi' }] },
  ],
};
const known = new Map([
  ['naan', { item: 'naan', name: 'Naan before', available: true, remaining: 3 }],
  ['gone', { item: 'gone', name: 'Not on the menu', available: false }],
]);

it('lists the menu, with what the board knows', () => {
  expect(listItems(menu, known)).toEqual([
    { item: 'dal', name: 'Dal', available: true },
    { item: 'naan', name: 'Garlic Naan', available: true, remaining: 3 },
    { item: 'lassi', name: 'Mango Lassi', available: true },
  ]);
});

it('lists what the board knows while there is no menu', () => {
  expect(listItems(undefined, known)).toEqual([...known.values()]);
});

it('finds items by a part of their name', () => {
  const items = listItems(menu, known);
  expect(findItems(items, ' GARLIC').map((item) => item.item)).toEqual(['naan']);
  expect(findItems(items, '').length).toBe(3);
});

it('counts the stock after the commands that the server has not carried out yet', () => {
  const naan = { item: 'naan', name: 'Naan' };
  const more = adjustStock('r', naan, 1);
  expect(stockAfter(3, more.group, [])).toBe(3);
  expect(stockAfter(3, more.group, [more, more, adjustStock('r', naan, -1)])).toBe(4);
  expect(stockAfter(3, more.group, [more, setStock('r', naan, 20), more])).toBe(21);
  expect(stockAfter(undefined, more.group, [setStock('r', naan, 0)])).toBe(0);
  expect(stockAfter(3, more.group, [more, setStock('r', naan, undefined)])).toBeUndefined();
  // Refused commands, other items and the availability change nothing.
  const others = [{ ...more, state: 'refused' as const }, adjustStock('r', { ...naan, item: 'dal' }, 5), setAvailability('r', naan, {})];
  expect(stockAfter(3, more.group, others)).toBe(3);
});
