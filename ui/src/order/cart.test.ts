import { describe, expect, it } from 'vitest';
import {
  add,
  cartOf,
  change,
  countOf,
  countOfItem,
  MAXIMUM_LINES,
  MAXIMUM_QUANTITY,
  parseCart,
  reconcile,
  setQuantity,
  toLines,
  type Cart,
  type Selection,
} from './cart';
import { exampleMenu } from './example';
import { searchMenu } from './search';

const rice: Selection = { item: 'rice', options: [], note: '' };
const dosa: Selection = {
  item: 'dosa',
  note: '',
  options: [
    { group: 'filling', option: 'paneer' },
    { group: 'chutneys', option: 'coconut' },
  ],
};

describe('the cart', () => {
  it('is filled with the lines of an earlier order, except what is none', () => {
    const line = { ...dosa, quantity: 2 };
    const cart = cartOf([line, line, null, 'dosa', { item: 'rice' }, { ...rice, quantity: 0 }, { ...rice, quantity: 1 }]);
    expect(cart).toMatchObject([line, line, { ...rice, quantity: 1 }]);
    expect(new Set(cart.map(({ id }) => id)).size).toBe(3);
    expect(cartOf({ length: 1 })).toEqual([]);
    expect(cartOf(undefined)).toEqual([]);
  });

  it('joins equal selections, in whatever order their options are', () => {
    const swapped = { ...dosa, options: [...dosa.options].reverse() };
    const cart = add(add(add([], dosa, 1), rice, 2), swapped, 3);
    expect(cart.map(({ item, quantity }) => [item, quantity])).toEqual([
      ['dosa', 4],
      ['rice', 2],
    ]);
    expect(countOf(cart)).toBe(6);
    expect(countOfItem(cart, 'dosa')).toBe(4);
  });

  it('keeps selections with another note or other options apart', () => {
    const cart = add(add(add([], rice, 1), { ...rice, note: 'No salt' }, 1), { ...dosa, options: [] }, 1);
    expect(cart).toHaveLength(3);
    expect(new Set(cart.map(({ id }) => id)).size).toBe(3);
  });

  it('stays within the limits of the API', () => {
    let cart = add(add([], rice, 90), rice, 90);
    expect(countOf(cart)).toBe(MAXIMUM_QUANTITY);
    for (let index = 0; index < MAXIMUM_LINES + 5; index += 1) cart = add(cart, { ...rice, note: String(index) }, 1);
    expect(cart).toHaveLength(MAXIMUM_LINES);
  });

  it('removes a line at zero', () => {
    const cart = add(add([], dosa, 1), rice, 1);
    expect(setQuantity(cart, cart[0]?.id ?? '', 0).map(({ item }) => item)).toEqual(['rice']);
  });

  it('changes a line in its place, and joins it with its twin', () => {
    const cart = add(add(add([], dosa, 1), rice, 1), { ...rice, note: 'No salt' }, 2);
    const [first, , third] = cart;
    const renamed = change(cart, first?.id ?? '', { ...dosa, note: 'Crisp' }, 5);
    expect(renamed[0]).toMatchObject({ note: 'Crisp', quantity: 5, id: first?.id });
    const joined = change(cart, third?.id ?? '', rice, 2);
    expect(joined.map(({ item, quantity }) => [item, quantity])).toEqual([
      ['dosa', 1],
      ['rice', 3],
    ]);
  });

  it('drops what the menu no longer offers as it is', () => {
    const gone = { item: 'soup', options: [], note: '' };
    const changed = { ...dosa, options: [{ group: 'filling', option: 'tofu' }] };
    const cart = [dosa, rice, gone, changed].reduce<Cart>((sum, selection) => add(sum, selection, 1), []);
    const result = reconcile(cart, exampleMenu());
    expect(result.cart.map(({ item }) => item)).toEqual(['dosa', 'rice']);
    expect(result.dropped.map(({ item }) => item)).toEqual(['soup', 'dosa']);
  });

  it('sends no empty members and nothing of the page', () => {
    const [plain, full] = toLines(add(add([], rice, 2), { ...dosa, note: 'Crisp' }, 1));
    expect(plain).toEqual({ item: 'rice', quantity: 2 });
    expect(full).toEqual({ item: 'dosa', quantity: 1, note: 'Crisp', options: dosa.options });
  });

  it('survives a reload, and whatever else stands in the storage', () => {
    const cart = add(add([], dosa, 1), rice, 2);
    expect(parseCart(JSON.stringify(cart))).toEqual(cart);
    expect(parseCart(null)).toEqual([]);
    expect(parseCart('{"a":')).toEqual([]);
    expect(parseCart('{"length":3}')).toEqual([]);
    const broken = [
      null,
      { ...cart[0], quantity: 0 },
      { ...cart[0], quantity: 1.5 },
      { ...cart[0], options: [{ group: 1 }] },
      { ...cart[0], item: undefined },
      cart[1],
    ];
    expect(parseCart(JSON.stringify(broken))).toEqual([cart[1]]);
  });
});

describe('the search', () => {
  const found = (query: string) => searchMenu(exampleMenu().categories, query).flatMap(({ items }) => items.map(({ id }) => id));

  it('finds every word in names, tags and categories, without case and accents', () => {
    expect(found('')).toEqual(['dosa', 'rice', 'raita']);
    expect(found('CREME')).toEqual(['rice']);
    expect(found('vegan')).toEqual(['rice']);
    expect(found('sides')).toEqual(['rice', 'raita']);
    expect(found('rice vegan')).toEqual(['rice']);
    expect(found('rice raita')).toEqual([]);
  });

  it('keeps the numbers of the categories, whose names may be equal', () => {
    const categories = exampleMenu().categories.map((category) => ({ ...category, name: 'Today' }));
    expect(searchMenu(categories, '').map(({ number, name }) => [number, name])).toEqual([
      [0, 'Today'],
      [1, 'Today'],
    ]);
    expect(searchMenu(categories, 'raita').map(({ number }) => number)).toEqual([1]);
  });
});
