// Stands in for the board's stream while docs/reference/openapi.json does not describe it: it polls the real Dabba with the
// page's own cookie, and sends what changed. Delete this file, and its use in `kitchen.spec.ts`, as soon as the
// description contains the stream.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { checksum } from '../../src/kitchen/store';
import type { BoardItem, BoardOrder } from '../../src/kitchen/types';
import type { Interceptor } from './front';

const STREAM = /^\/v1\/restaurants\/([^/]+)\/board\/stream$/;
const OPEN = 'confirmed,preparing,ready_for_pickup,out_for_delivery';
/** Intervals in milliseconds. */
const POLL = 150;
const HEARTBEAT = 10_000;

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

export class BoardStandIn {
  readonly #address: string;

  constructor(address: string) {
    this.#address = address;
  }

  /** Answers the stream itself, and leaves everything else to `next`. */
  before(next: Interceptor): Interceptor {
    return async (request, response) => {
      // The interceptor behind this one turns a session that the server does not know into a token.
      if (await next(request, response)) return true;
      const restaurant = STREAM.exec(new URL(request.url ?? '/', 'http://front').pathname)?.[1];
      if (restaurant === undefined) return false;
      void this.#serve(restaurant, request, response).catch(() => response.destroy());
      return true;
    };
  }

  async #get(request: IncomingMessage, path: string): Promise<Answer> {
    const headers: Record<string, string> = { 'sec-fetch-site': 'same-origin' };
    for (const name of ['cookie', 'authorization'] as const) {
      const value = request.headers[name];
      if (value !== undefined) headers[name] = value;
    }
    const answer = await fetch(this.#address + path, { headers });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  }

  async #orders(request: IncomingMessage, restaurant: string): Promise<Answer & { orders: BoardOrder[] }> {
    const orders: BoardOrder[] = [];
    let cursor = '';
    for (;;) {
      const path = `/v1/restaurants/${restaurant}/orders?status=${OPEN}&limit=100${cursor}`;
      const page = await this.#get(request, path);
      if (page.status !== 200) return { ...page, orders };
      orders.push(...(page.body['orders'] as BoardOrder[]));
      if (page.body['next_cursor'] === undefined) return { ...page, orders: orders.reverse() };
      cursor = `&cursor=${encodeURIComponent(String(page.body['next_cursor']))}`;
    }
  }

  async #now(request: IncomingMessage): Promise<string> {
    const session = await this.#get(request, '/v1/session');
    return (session.body['server'] as { now: string } | undefined)?.now ?? new Date().toISOString();
  }

  async #items(request: IncomingMessage, restaurant: string): Promise<BoardItem[]> {
    const menu = await this.#get(request, `/v1/restaurants/${restaurant}/menu`);
    const stock = await this.#get(request, `/v1/restaurants/${restaurant}/stock`);
    const levels = new Map((stock.body['stock'] as { item: string; remaining?: number }[]).map((level) => [level.item, level.remaining]));
    const categories = menu.body['categories'] as { items: { id: string; name: string; availability: { status: string; until?: string } }[] }[];
    return categories.flatMap(({ items }) =>
      items.map(({ id, name, availability }) => {
        const item: BoardItem = { item: id, name, available: availability.status === 'available' };
        if (availability.until !== undefined) item.until = availability.until;
        const remaining = levels.get(id);
        if (remaining !== undefined) item.remaining = remaining;
        return item;
      }),
    );
  }

  async #serve(restaurant: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const first = await this.#orders(request, restaurant);
    if (first.status !== 200) {
      response.writeHead(first.status, { 'content-type': 'application/problem+json' }).end(JSON.stringify(first.body));
      return;
    }
    const send = (event: string, data: unknown) => response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const settings = (await this.#get(request, `/v1/restaurants/${restaurant}`)).body;
    const items = await this.#items(request, restaurant);
    const now = await this.#now(request);
    send('snapshot', { part: 1, parts: 1, now, build: 'stand-in', restaurant: settings, items, orders: first.orders });
    let known = new Map(first.orders.map((order) => [order.id, order]));
    let beat = Date.now();
    while (!response.destroyed) {
      await new Promise((done) => setTimeout(done, POLL));
      const next = await this.#orders(request, restaurant);
      if (next.status !== 200) {
        send('bye', { reason: 'session_ended', retry_after_ms: 0 });
        response.end();
        return;
      }
      const orders = new Map(next.orders.map((order) => [order.id, order]));
      for (const order of orders.values()) if (known.get(order.id)?.version !== order.version) send('order', order);
      for (const id of known.keys()) if (!orders.has(id)) send('gone', await this.#gone(request, id));
      known = orders;
      if (Date.now() - beat < HEARTBEAT) continue;
      beat = Date.now();
      send('heartbeat', { now: await this.#now(request), build: 'stand-in', ...checksum(known.values()) });
    }
  }

  async #gone(request: IncomingMessage, id: string): Promise<unknown> {
    const { version, status, closure } = (await this.#get(request, `/v1/orders/${id}`)).body as unknown as BoardOrder;
    return { id, version, status, ...(closure === undefined ? {} : { closure }) };
  }
}
