import { describe, expect, it } from 'vitest';
import { Orders } from '../../tests/mock/orders';
import { MAXIMUM_PAGES, PAGE, recall, RECALLED } from './recall';
import type { Order } from './types';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const maker = new Orders(5);
const iso = (minutes: number) => new Date(NOW - minutes * 60_000).toISOString();
/** An order that was placed, and that ended, so many minutes ago. */
const order = (placed: number, ended: number) =>
  ({ ...maker.make(NOW, { status: 'delivered' }), placed_at: iso(placed), updated_at: iso(ended) }) as unknown as Order;

/** A server with ended orders, newest first as the API lists them. */
function serverOf(orders: Order[]) {
  const server = {
    requests: 0,
    read: ({ limit, cursor }: { limit: number; cursor?: string }) => {
      server.requests += 1;
      const from = Number(cursor ?? 0);
      const rest = from + limit < orders.length ? { next_cursor: String(from + limit) } : {};
      return Promise.resolve({ orders: orders.slice(from, from + limit), ...rest });
    },
  };
  return server;
}

describe('the orders that ended last', () => {
  it('contain an order that took longer than many newer ones', async () => {
    const quick = Array.from({ length: PAGE + 20 }, (_, index) => order(60 + index / 2, 40 + index / 2));
    const slow = order(180, 1);
    const server = serverOf([...quick, slow]);
    const recalled = await recall(server.read, NOW);
    expect(recalled).toHaveLength(RECALLED);
    expect(recalled[0]?.id).toBe(slow.id);
    expect(server.requests).toBe(2);
  });

  it('need one request if older orders are from another shift', async () => {
    const server = serverOf(Array.from({ length: 5 * PAGE }, (_, index) => order(60 + 10 * index, 30 + 10 * index)));
    expect(await recall(server.read, NOW)).toHaveLength(RECALLED);
    expect(server.requests).toBe(1);
  });

  it('need a limited number of requests', async () => {
    const server = serverOf(Array.from({ length: 10 * PAGE }, (_, index) => order(60 + index / 10, 30 + index / 10)));
    await recall(server.read, NOW);
    expect(server.requests).toBe(MAXIMUM_PAGES);
  });

  it('are few in a new restaurant', async () => {
    expect(await recall(serverOf([]).read, NOW)).toEqual([]);
    expect(await recall(serverOf([order(9, 2)]).read, NOW)).toHaveLength(1);
  });
});
