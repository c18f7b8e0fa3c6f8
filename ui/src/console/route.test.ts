import { describe, expect, it } from 'vitest';
import { address, matches, parseRoute, readFilters, statusesAfter, withParameters, writeFilters, type OrderFilters } from './route';

const OPEN: OrderFilters = { view: 'open', status: [], restaurant: undefined, attention: false };

describe('an address', () => {
  it('names section, entry and query', () => {
    const route = parseRoute('/console/orders/01a2', '?tab=timeline');
    expect(route.section).toBe('orders');
    expect(route.id).toBe('01a2');
    expect(route.query.get('tab')).toBe('timeline');
  });

  it.each(['/console', '/console/', '/console/unknown', '/console/unknown/01a2'])('%s shows the orders', (path) => {
    expect(parseRoute(path, '')).toMatchObject({ section: 'orders', id: undefined });
  });

  it('survives text that must be encoded, and text that is encoded wrongly', () => {
    expect(parseRoute(address('accounts', 'a/b c'), '').id).toBe('a/b c');
    expect(parseRoute('/console/accounts/%E0%A4%A', '').id).toBe('%E0%A4%A');
  });

  it('has no parameters for what is the default', () => {
    expect(address('orders', undefined, writeFilters(OPEN))).toBe('/console/orders');
  });

  it('keeps other parameters when one changes', () => {
    const query = withParameters(new URLSearchParams('a=1&b=2'), { a: undefined, c: '3' });
    expect(query.toString()).toBe('b=2&c=3');
  });
});

describe('the filters of the orders', () => {
  it.each<OrderFilters>([
    OPEN,
    { view: 'open', status: ['confirmed', 'preparing'], restaurant: 'r1', attention: true },
    { view: 'ended', status: ['refunded'], restaurant: undefined, attention: false },
    { view: 'all', status: [], restaurant: 'r1', attention: false },
  ])('survive a reload: %j', (filters) => {
    expect(readFilters(new URLSearchParams(writeFilters(filters).toString()))).toEqual(filters);
  });

  it('ignore values that do not exist, and statuses of another view', () => {
    const query = new URLSearchParams('view=none&status=delivered,confirmed,x&attention=yes');
    expect(readFilters(query)).toEqual({ ...OPEN, status: ['confirmed'] });
  });

  it('select orders by status and restaurant', () => {
    const order = { status: 'preparing', restaurant_id: 'r1' };
    expect(matches(OPEN, order)).toBe(true);
    expect(matches({ ...OPEN, view: 'ended' }, order)).toBe(false);
    expect(matches({ ...OPEN, status: ['confirmed'] }, order)).toBe(false);
    expect(matches({ ...OPEN, restaurant: 'r2' }, order)).toBe(false);
    expect(matches({ ...OPEN, view: 'all' }, { ...order, status: 'a status of a later version' })).toBe(false);
  });
});

it('an event moves an order to a status, leaves it where it is, or is of a later version', () => {
  expect(statusesAfter('accepted')).toEqual(['preparing']);
  expect(statusesAfter('expired')).toEqual(['cancelled']);
  // A part of the money may be refunded, or all of it.
  expect(statusesAfter('refunded')).toContain('delivered');
  expect(statusesAfter('courier_assigned')).toEqual([]);
  expect(statusesAfter('of_a_later_version')).toBeUndefined();
  expect(statusesAfter('constructor')).toBeUndefined();
});
