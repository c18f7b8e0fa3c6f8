import { afterEach, describe, expect, it } from 'vitest';
import { againAddress, againOrder, forgetAgain, keepAgain, keptAgain } from './again';
import { kept } from './kept';

const KEY = 'dabba.order.again.restaurant';

afterEach(() => forgetAgain('restaurant'));

describe('an order to repeat', () => {
  it('keeps what a cart contains, without names and prices', () => {
    const options = [{ group: 'filling', option: 'paneer', name: 'Paneer', price: 100 }];
    keepAgain('restaurant', 'one', [{ item: 'dosa', quantity: 2, options }, { item: 'rice', quantity: 1, note: 'hot' }]);
    expect(keptAgain('restaurant')).toEqual({
      order: 'one',
      lines: [
        { item: 'dosa', quantity: 2, note: '', options: [{ group: 'filling', option: 'paneer' }] },
        { item: 'rice', quantity: 1, note: 'hot', options: [] },
      ],
    });
    expect(keptAgain('another')).toBeUndefined();
  });

  it('is replaced by a later one, and forgotten', () => {
    keepAgain('restaurant', 'one', []);
    keepAgain('restaurant', 'two', []);
    expect(keptAgain('restaurant')?.order).toBe('two');
    forgetAgain('restaurant');
    expect(keptAgain('restaurant')).toBeUndefined();
  });

  it.each(['{', 'null', '7', '{"order":7,"lines":[]}'])('is ignored if the browser kept %s', (text) => {
    kept.set(KEY, text);
    expect(keptAgain('restaurant')).toBeUndefined();
  });

  it('is named by the address of the ordering page', () => {
    const address = againAddress('restaurant', 'one');
    expect(againOrder(address.slice(address.indexOf('#')))).toBe('one');
    expect(againOrder('#checkout')).toBeUndefined();
  });
});
