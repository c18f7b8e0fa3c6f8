import { describe, expect, it } from 'vitest';
import type { Entry } from '../lib/outbox';
import { Orders } from '../../tests/mock/orders';
import { accept, pause } from './commands';
import { ColumnBuilder, countOrders, countText, matchesSearch, newestEndFirst, pendingByOrder, shortList, unanswered, fitting, isDense, isOff } from './view';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const maker = new Orders(11);

function entry(command: ReturnType<typeof accept>, changes: Partial<Entry> = {}): Entry {
  return { ...command, sequence: 1, key: 'k', state: 'waiting', created: 0, due: 5_000, attempts: 0, claimed: 0, ...changes };
}

describe('the columns', () => {
  it('sort by deadline and promised time, and leave out what is not on the board', () => {
    const late = maker.make(NOW, { age: 10 });
    const early = maker.make(NOW, { age: 400 });
    const cooking = maker.make(NOW, { status: 'preparing', readyIn: 600 });
    const sooner = maker.make(NOW, { status: 'preparing', readyIn: 60 });
    const over = { ...maker.make(NOW), status: 'delivered' as const };
    const columns = new ColumnBuilder().build([late, cooking, over, early, sooner], new Map(), '');
    expect(columns.new.map((card) => card.id)).toEqual([early.id, late.id]);
    expect(columns.preparing.map((card) => card.id)).toEqual([sooner.id, cooking.id]);
    expect(columns.ready).toEqual([]);
  });

  it('keep the card of an order that did not change, so that only changes are drawn', () => {
    const [a, b] = [maker.make(NOW), maker.make(NOW)];
    const builder = new ColumnBuilder();
    const before = builder.build([a, b], new Map(), '').new;
    const changed = { ...b, version: b.version + 1 };
    const after = builder.build([a, changed], new Map(), '').new;
    expect(after.find((card) => card.id === a.id)).toBe(before.find((card) => card.id === a.id));
    expect(after.find((card) => card.id === b.id)).not.toBe(before.find((card) => card.id === b.id));
    const pending = pendingByOrder([entry(accept(a, 20))]);
    expect(builder.build([a, changed], pending, '').new.find((card) => card.id === a.id)?.pending?.kind).toBe('accept');
  });
});

describe('the orders that wait for an answer', () => {
  it('are the new ones without a command that this device may accept, the most urgent first, whatever the search', () => {
    const late = maker.make(NOW, { age: 10 });
    const early = maker.make(NOW, { age: 400 });
    const given = maker.make(NOW, { age: 450 });
    const foreign = { ...maker.make(NOW), allowed_actions: [] };
    const cooking = maker.make(NOW, { status: 'preparing' });
    const pending = pendingByOrder([entry(accept(given, 20))]);
    const columns = new ColumnBuilder().build([late, early, given, foreign, cooking], pending, late.display_code);
    expect(unanswered(columns).map((order) => order.id)).toEqual([early.id, late.id]);
  });

  it('are named up to six, with the number of the others', () => {
    const names = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H'];
    expect(shortList(names.slice(0, 6))).toBe('A, B, C, D, E, F');
    expect(shortList(names)).toBe('A, B, C, D, E, F, +2');
  });
});

describe('the time since which an order waits', () => {
  it('is that of its first version in a status, not of the latest event', () => {
    const at = (minute: number) => `2026-06-01T12:0${minute}:00Z`;
    const ready = { ...maker.make(NOW, { status: 'ready_for_pickup' }), updated_at: at(1) };
    const assigned = { ...ready, version: ready.version + 1, updated_at: at(5), courier_id: 'courier' };
    const out = { ...assigned, version: ready.version + 2, updated_at: at(9), status: 'out_for_delivery' as const };
    const builder = new ColumnBuilder();
    const since = (order: typeof ready) => Object.values(builder.build([order], new Map(), '')).flat()[0]?.since;
    expect([ready, assigned, out as typeof ready].map(since)).toEqual([at(1), at(1), at(9)]);
  });
});

describe('commands on their way', () => {
  const order = maker.make(NOW);

  it('can be undone until they are sent', () => {
    const stage = (changes: Partial<Entry>) => pendingByOrder([entry(accept(order, 20), changes)]).get(order.id)?.stage;
    expect(stage({})).toBe('undoable');
    expect(stage({ state: 'sending', attempts: 1 })).toBe('sending');
    expect(stage({ state: 'sending', attempts: 2 })).toBe('retrying');
    expect(stage({ state: 'refused', attempts: 1 })).toBeUndefined();
  });

  it('of the restaurant belong to no card', () => {
    expect(pendingByOrder([entry(pause('r', undefined))]).size).toBe(0);
  });
});

describe('the search', () => {
  const order = { ...maker.make(NOW), display_code: '7K10Q', contact: { name: 'Åsa Östlund' } };

  it.each(['7k10q', '7K1OQ', '7KI0', '7k-10q', ' 10Q ', '१०q', '٧k'])('finds the code by %j', (text) => {
    expect(matchesSearch(order, text)).toBe(true);
  });

  it('finds the name, and everything if it is empty', () => {
    expect(matchesSearch(order, 'östl')).toBe(true);
    expect(matchesSearch(order, '  ')).toBe(true);
    expect(matchesSearch(order, 'berg')).toBe(false);
    expect(matchesSearch(order, 'أحمد')).toBe(false);
  });
});

describe('the number of orders', () => {
  it('is counted by column, also of those that a search finds', () => {
    const orders = [maker.make(NOW), maker.make(NOW), maker.make(NOW, { status: 'preparing' }), maker.make(NOW, { status: 'delivered' })];
    expect(countOrders(orders, '')).toEqual({ new: 2, preparing: 1, ready: 0, out: 0 });
    expect(countOrders(orders, orders[1]?.display_code ?? '')).toEqual({ new: 1, preparing: 0, ready: 0, out: 0 });
  });

  it('is that of the matches and of all while a search is on', () => {
    expect(countText(0, 57, true)).toBe('\u20660/57\u2069');
    expect(countText(57, 57, false)).toBe('57');
  });
});

describe('orders that ended', () => {
  it('are sorted by their end, not by the time at which they were placed', () => {
    const ended = (minute: number) => ({ ...maker.make(NOW), updated_at: `2026-06-01T12:0${minute}:00Z` });
    const orders = [ended(8), ended(4), ended(9), ended(4)];
    expect(newestEndFirst(orders).map((order) => order.updated_at.slice(14, 16))).toEqual(['09', '08', '04', '04']);
    expect(newestEndFirst([...orders].reverse())).toEqual(newestEndFirst(orders));
  });
});

describe('a column with many orders', () => {
  it('is compact when more orders than fit are there, and stays so until all of them fit', () => {
    expect([2, 3, 4].map((count) => isDense(false, count, 2))).toEqual([false, false, true]);
    expect([4, 3, 2].map((count) => isDense(true, count, 2))).toEqual([true, true, false]);
  });

  it.each([
    ['new', 1280, 800, 2],
    ['out', 1280, 800, 2],
    ['new', 390, 844, 2],
    ['new', 820, 1180, 9],
    ['new', 1920, 1080, 6],
    ['ready', 1920, 1080, 3],
    ['new', 320, 256, 1],
  ] as const)('%s on a screen of %i × %i fits %i full cards', (column, width, height, fit) => {
    expect(fitting(column, width, height)).toBe(fit);
  });
});

describe('an item that was switched off', () => {
  const line = { item: 'naan' };
  const off = new Map([['naan', { item: 'naan', name: 'Naan', available: false }]]);
  const limited = new Map([['naan', { item: 'naan', name: 'Naan', available: true, remaining: 0 }]]);

  it.each([
    ['confirmed', true],
    ['preparing', true],
    ['ready_for_pickup', false],
    ['delivered', false],
  ] as const)('is marked in an order that is %s: %s', (status, marked) => {
    expect(isOff(off, { status }, line)).toBe(marked);
    expect(isOff(limited, { status }, line)).toBe(false);
    expect(isOff(new Map(), { status }, line)).toBe(false);
  });
});
