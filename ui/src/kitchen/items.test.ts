import { expect, it } from 'vitest';
import { findItems, listItems } from './items';

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
