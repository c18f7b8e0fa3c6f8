import { beforeEach, describe, expect, it } from 'vitest';
import { ApiError, type Order } from '../../lib/api';
import { ManualTimers, settle } from '../../lib/testing/timers';
import type { Change } from '../changes';
import type { OrderFilters } from '../route';
import { MAXIMUM_OPEN, MAXIMUM_SINGLE_READS, OrderList, RELOAD_INTERVAL, RETRY_PAUSE, type OrderPage, type Source } from './list.svelte';

const OPEN: OrderFilters = { view: 'open', status: [], restaurant: undefined, attention: false };
const FAILURE = new ApiError(503, { code: 'unavailable' });

/** The orders of a server, and the requests that reached it. */
let orders: Map<string, Order>;
let requests: string[];
/** How the next requests fail. */
let failures: Error[];
/** Called after the server has made an answer, and before the answer arrives. */
let onAnswer: () => void;
/** Whether a shard does not answer. */
let incomplete: boolean;
let timers: ManualTimers;
let list: OrderList;

const nameOf = (number: number) => `order ${String(number).padStart(4, '0')}`;

/** Places or changes an order; a higher number was placed later. */
function put(number: number, status = 'confirmed', version = 1, restaurant = 'r1'): Order {
  const placed = new Date(Date.parse('2026-11-30T12:00:00Z') + number * 1_000).toISOString();
  const order = { id: nameOf(number), status, version, restaurant_id: restaurant, placed_at: placed } as Order;
  orders.set(order.id, order);
  return order;
}

const change = (number: number, type = 'confirmed', version = 2): Change => ({
  order: nameOf(number),
  restaurant: 'r1',
  type,
  version,
});
const shown = () => list.rows.map(({ id, status }) => `${Number(id.slice(6))} ${status}`);
const waiting = () => list.waiting.map(({ id }) => Number(id.slice(6)));

async function answer<T>(request: string, body: () => T): Promise<T> {
  requests.push(request);
  const failure = failures.shift();
  if (failure !== undefined) throw failure;
  const value = body();
  onAnswer();
  await Promise.resolve();
  return value;
}

beforeEach(() => {
  orders = new Map();
  requests = [];
  failures = [];
  incomplete = false;
  onAnswer = () => undefined;
  timers = new ManualTimers();
  list = new OrderList(OPEN, source());
});

function source(): Source {
  return {
    ready: Promise.resolve(),
    timers,
    order: (id) =>
      answer(id, () => {
        const order = orders.get(id);
        if (order === undefined) throw new ApiError(404, { code: 'not_found' });
        return order;
      }),
    page: (filters, cursor) =>
      answer(`page ${cursor ?? ''}`, (): OrderPage => {
        const isOpen = ({ status }: Order) => status !== 'delivered' && status !== 'cancelled';
        const all = [...orders.values()].filter((order) => filters.view === 'all' || isOpen(order));
        const sorted = all.sort((one, other) => (one.placed_at < other.placed_at ? 1 : -1));
        const from = Number(cursor ?? 0);
        const page: OrderPage = { orders: sorted.slice(from, from + 100), incomplete };
        if (from + 100 < sorted.length) page.next_cursor = String(from + 100);
        return page;
      }),
  };
}

describe('a change', () => {
  beforeEach(async () => {
    put(1);
    put(2);
    await list.load();
    requests = [];
  });

  it('is read, and shown in place; a new order waits', async () => {
    put(1, 'preparing', 2);
    put(3);
    list.changed([change(1, 'accepted'), change(3, 'placed', 1)]);
    await settle();
    expect(requests).toEqual([nameOf(1), nameOf(3)]);
    expect(shown()).toEqual(['2 confirmed', '1 preparing']);
    expect(waiting()).toEqual([3]);
    list.show();
    expect(shown()).toEqual(['3 confirmed', '2 confirmed', '1 preparing']);
  });

  it('is not read if it cannot concern the list, or is known', async () => {
    const other = { ...change(8, 'placed'), restaurant: 'r2' };
    list.changed([change(7, 'delivered'), change(6, 'payment_captured'), change(1, 'confirmed', 1)]);
    await settle();
    expect(requests).toEqual([]);
    list = new OrderList({ ...OPEN, restaurant: 'r1' }, source());
    await list.load();
    requests = [];
    list.changed([other]);
    await settle();
    expect(requests).toEqual([]);
  });

  it('is read again after a pause if the server does not answer', async () => {
    put(1, 'preparing', 2);
    failures = [FAILURE];
    list.changed([change(1, 'accepted')]);
    await settle();
    expect(shown()).toEqual(['2 confirmed', '1 confirmed']);
    await timers.advance(RETRY_PAUSE);
    expect(shown()).toEqual(['2 confirmed', '1 preparing']);
    expect(requests).toEqual([nameOf(1), nameOf(1)]);
  });

  it('of an order that cannot be read any more is given up', async () => {
    orders.delete(nameOf(1));
    list.changed([change(1, 'accepted')]);
    await timers.advance(10 * RETRY_PAUSE);
    expect(requests).toEqual([nameOf(1)]);
  });

  it('is not read after the list has closed', async () => {
    failures = [FAILURE];
    list.changed([change(1, 'accepted')]);
    await settle();
    list.close();
    await timers.advance(10 * RETRY_PAUSE);
    expect(requests).toHaveLength(1);
  });
});

describe('many changes', () => {
  const MANY = MAXIMUM_SINGLE_READS + 1;

  beforeEach(async () => {
    for (let number = 0; number < MANY; number += 1) put(number);
    await list.load();
    requests = [];
  });

  const all = (type: string, version = 2) => Array.from({ length: MANY }, (_, number) => change(number, type, version));

  it('are read with the whole list, and not more often than a page allows', async () => {
    for (let number = 0; number < MANY; number += 1) put(number, 'preparing', 2);
    put(500);
    list.changed(all('accepted'));
    await settle();
    expect(requests).toEqual(['page ']);
    expect(shown()[0]).toBe(`${MANY - 1} preparing`);
    expect(waiting()).toEqual([500]);
    list.changed(all('marked_ready', 3));
    await timers.advance(RELOAD_INTERVAL - 1);
    expect(requests).toEqual(['page ']);
    await timers.advance(1);
    expect(requests).toEqual(['page ', 'page ']);
  });

  it('that end more orders than are read alone remove them', async () => {
    for (let number = 0; number < MANY; number += 1) put(number, 'delivered', 2);
    put(500);
    list.changed(all('delivered'));
    await timers.advance(RELOAD_INTERVAL);
    expect(requests).toEqual(['page ']);
    expect(shown()).toEqual([]);
    expect(waiting()).toEqual([500]);
  });

  it('are read later if the server does not answer', async () => {
    failures = [FAILURE];
    put(0, 'preparing', 2);
    list.changed(all('accepted'));
    await settle();
    expect(list.failure).toBe(FAILURE);
    await timers.advance(RELOAD_INTERVAL);
    expect(list.failure).toBeUndefined();
    expect(shown().at(-1)).toBe('0 preparing');
  });
});

describe('a list that must be read again', () => {
  it('shows what changed meanwhile in place, and the end of an order that has left it', async () => {
    put(1);
    put(2);
    await list.load();
    put(1, 'preparing', 2);
    put(2, 'delivered', 5);
    put(3);
    list.again();
    await settle();
    expect(shown()).toEqual(['2 delivered', '1 preparing']);
    expect(waiting()).toEqual([3]);
    expect(list.loading).toBe(false);
  });

  it('forgets waiting orders that have left it, and keeps those of a shard that does not answer', async () => {
    await list.load();
    put(1);
    put(2);
    list.changed([change(1, 'placed', 1), change(2, 'placed', 1)]);
    await settle();
    put(1, 'delivered', 5);
    list.again();
    await settle();
    expect(waiting()).toEqual([2]);
    orders.delete(nameOf(2));
    incomplete = true;
    list.again();
    await timers.advance(RELOAD_INTERVAL);
    expect(waiting()).toEqual([2]);
    expect(list.incomplete).toBe(true);
  });

  it('is read as if for the first time if it was never read', async () => {
    failures = [FAILURE];
    put(1);
    await list.load();
    expect(list.failure).toBe(FAILURE);
    list.again();
    await settle();
    expect(shown()).toEqual(['1 confirmed']);
    expect(waiting()).toEqual([]);
  });

  it('loses no change that happens while it is read', async () => {
    put(1);
    onAnswer = () => {
      onAnswer = () => undefined;
      put(2);
      list.changed([change(2, 'placed', 1)]);
    };
    await list.load();
    await settle();
    expect(requests).toEqual(['page ', nameOf(2)]);
    expect(shown()).toEqual(['1 confirmed']);
    expect(waiting()).toEqual([2]);
  });

  it('is read page by page until its end', async () => {
    for (let number = 0; number < 250; number += 1) put(number);
    await list.load();
    expect(requests).toEqual(['page ', 'page 100', 'page 200']);
    expect(list.rows).toHaveLength(250);
    requests = [];
    list.again();
    await settle();
    expect(requests).toEqual(['page ', 'page 100', 'page 200']);
  });

  it('with later pages leaves the rows beyond what it reads', async () => {
    list = new OrderList({ ...OPEN, view: 'all' }, source());
    for (let number = 0; number < 250; number += 1) put(number);
    await list.load();
    await list.more();
    expect(list.rows).toHaveLength(200);
    put(300);
    requests = [];
    list.again();
    await settle();
    expect(requests).toEqual(['page ', 'page 100']);
    expect(list.rows).toHaveLength(200);
    expect(waiting()).toEqual([300]);
  });
});

describe('waiting orders', () => {
  it('are shown at once if they need a person', async () => {
    await list.load();
    put(1);
    put(2);
    list.changed([change(1, 'placed', 1), change(2, 'placed', 1)]);
    await settle();
    expect(waiting()).toEqual([1, 2]);
    list.admit(({ id }) => id === nameOf(2));
    expect(waiting()).toEqual([1]);
    expect(shown()).toEqual(['2 confirmed']);
  });

  it('are shown at once to a reader without a place in the list, and orders that have ended leave', async () => {
    put(1);
    put(2);
    await list.load();
    put(1, 'delivered', 5);
    put(3);
    list.changed([change(1, 'delivered', 5), change(3, 'placed', 1)]);
    await settle();
    expect(shown()).toEqual(['2 confirmed', '1 delivered']);
    list.settle();
    expect(shown()).toEqual(['3 confirmed', '2 confirmed']);
    expect(waiting()).toEqual([]);
    const { rows } = list;
    list.settle();
    expect(list.rows).toBe(rows);
  });

  it('wait if the list has no room for them', async () => {
    for (let number = 0; number < MAXIMUM_OPEN; number += 1) put(number);
    await list.load();
    put(5_000);
    list.changed([change(5_000, 'placed', 1)]);
    await settle();
    list.settle();
    expect(waiting()).toEqual([5_000]);
    expect(list.rows).toHaveLength(MAXIMUM_OPEN);
  });
});

it('orders of the same time keep their places', async () => {
  const placed_at = put(1).placed_at;
  for (const number of [2, 3]) put(number).placed_at = placed_at;
  await list.load();
  const before = shown();
  for (let time = 0; time < 2; time += 1) {
    list.show();
    expect(shown()).toEqual(before);
  }
});
