// A small server that plays the kitchen's part of the API with orders in memory. It is for states of the page; what the
// page and the server do together is tested with the real one.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { checksum } from '../../src/kitchen/store';
import type { BoardItem, BoardOrder, Restaurant } from '../../src/kitchen/types';
import { actionsOf, items, MENU, Orders, restaurant, RESTAURANT_ID, type Wanted } from './orders';

const PART = 100;
const ACCOUNT = '019b0000-0000-7000-8000-0000000000bb';
/** Interval of the heartbeats, in milliseconds. */
const HEARTBEAT = 10_000;

interface Received {
  method: string;
  path: string;
  key: string | undefined;
  body: unknown;
}

type Refusal = { status: number; code: string; detail?: string };

export class KitchenMock {
  readonly orders = new Map<string, BoardOrder>();
  readonly ended: BoardOrder[] = [];
  readonly items = new Map<string, BoardItem>(items().map((item) => [item.item, item]));
  restaurant: Restaurant;
  /** Further items of the menu. */
  readonly additional: { id: string; name: string }[] = [];
  /** Commands in the order of their arrival. */
  readonly received: Received[] = [];
  /** Decides what the next requests get instead of an answer. */
  refuse: (received: Received) => Refusal | undefined = () => undefined;
  signedIn = true;
  build = 'mock-1';
  /** Added to the server's clock. */
  ahead = 0;
  #silent = false;
  #held: (() => void)[] = [];
  readonly #streams = new Set<ServerResponse>();
  readonly #answers = new Map<string, unknown>();
  readonly #maker: Orders;
  readonly #heartbeat: ReturnType<typeof setInterval>;

  constructor(seed = 7) {
    this.#maker = new Orders(seed);
    this.restaurant = restaurant(this.now);
    this.#heartbeat = setInterval(() => this.beat(), HEARTBEAT);
  }

  get now(): number {
    return Date.now() + this.ahead;
  }

  get silent(): boolean {
    return this.#silent;
  }

  /** Whether the server says nothing, although the connections are open, as a stopped process does. */
  set silent(silent: boolean) {
    this.#silent = silent;
    if (!silent) for (const answer of this.#held.splice(0)) answer();
  }

  get streams(): number {
    return this.#streams.size;
  }

  close(): void {
    clearInterval(this.#heartbeat);
    for (const stream of this.#streams) stream.destroy();
  }

  place(wanted: Wanted = {}): BoardOrder {
    const order = this.#maker.make(this.now, wanted);
    this.put(order);
    return order;
  }

  put(order: BoardOrder): void {
    this.orders.set(order.id, order);
    this.#send('order', order);
  }

  /** Changes an order: its next version. */
  change(id: string, changes: Partial<BoardOrder>): BoardOrder {
    const order = this.orders.get(id);
    if (order === undefined) throw new Error(`The board has no order ${id}.`);
    const changed = { ...order, ...changes, version: order.version + 1, updated_at: new Date(this.now).toISOString() };
    changed.allowed_actions = actionsOf(changed);
    this.put(changed);
    return changed;
  }

  end(id: string, status: string, closure?: unknown): BoardOrder {
    const order = this.orders.get(id);
    if (order === undefined) throw new Error(`The board has no order ${id}.`);
    const left = { ...order, status, version: order.version + 1, allowed_actions: [] } as BoardOrder;
    if (closure !== undefined) left.closure = closure as NonNullable<BoardOrder['closure']>;
    this.orders.delete(id);
    this.ended.unshift(left);
    this.#send('gone', { id, version: left.version, status, ...(closure === undefined ? {} : { closure }) });
    return left;
  }

  beat(): void {
    const now = new Date(this.now).toISOString();
    this.#send('heartbeat', { now, build: this.build, ...checksum(this.orders.values()) });
  }

  /** Ends the session under the open board. */
  revoke(): void {
    this.signedIn = false;
    this.#send('bye', { reason: 'session_ended', retry_after_ms: 0 });
    for (const stream of this.#streams) stream.end();
  }

  #send(event: string, data: unknown): void {
    if (this.#silent) return;
    const text = `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
    for (const stream of this.#streams) stream.write(text);
  }

  readonly intercept = async (request: IncomingMessage, response: ServerResponse): Promise<boolean> => {
    const url = new URL(request.url ?? '/', 'http://mock');
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const body: unknown = text === '' ? undefined : JSON.parse(text);
    if (this.#silent) this.#held.push(() => this.#answer(request, response, url, body));
    else this.#answer(request, response, url, body);
    return true;
  };

  #answer(request: IncomingMessage, response: ServerResponse, url: URL, body: unknown): void {
    const json = (status: number, value: unknown) => {
      const type = status >= 400 ? 'application/problem+json' : 'application/json';
      response.writeHead(status, { 'content-type': type }).end(JSON.stringify(value));
    };
    const problem = ({ status, code, detail }: Refusal) => json(status, { type: `urn:${code}`, title: code, status, code, detail });
    const path = url.pathname;
    if (!this.signedIn) return problem({ status: 401, code: 'token_revoked' });
    if (path === '/v1/session') return request.method === 'DELETE' ? this.#signOut(response) : json(200, this.#session());
    const board = `/v1/restaurants/${RESTAURANT_ID}`;
    if (path.startsWith('/v1/restaurants/') && !path.startsWith(board)) return problem({ status: 404, code: 'not_found' });
    if (path === `${board}/board/stream`) return this.#stream(response);
    if (path === `${board}/menu`) return json(200, { categories: [{ items: [...MENU, ...this.additional] }] });
    if (path === `${board}/orders`) return json(200, { orders: this.ended.slice(0, 50) });
    if (request.method === 'GET') {
      const id = path.split('/')[3] ?? '';
      const order = this.orders.get(id) ?? this.ended.find((other) => other.id === id);
      return order === undefined ? problem({ status: 404, code: 'not_found' }) : json(200, order);
    }
    const key = request.headers['idempotency-key'] as string | undefined;
    const received = { method: request.method ?? '', path, key, body };
    this.received.push(received);
    const refusal = this.refuse(received);
    if (refusal !== undefined) return problem(refusal);
    const known = this.#answers.get(key ?? '');
    const answer = known ?? this.#command(path, (body ?? {}) as Record<string, unknown>);
    if (key !== undefined) this.#answers.set(key, answer);
    return 'code' in (answer as object) ? problem(answer as Refusal) : json(200, answer);
  }

  #signOut(response: ServerResponse): void {
    this.signedIn = false;
    response.writeHead(204).end();
  }

  #session() {
    return {
      id: '019b0000-0000-7000-8000-0000000000cc',
      account: { id: ACCOUNT, email: 'kitchen@example.com', role: 'restaurant' },
      restaurants: [{ id: RESTAURANT_ID, name: this.restaurant.name }],
      expires_at: new Date(this.now + 86_400_000).toISOString(),
      server: { version: '0', build: this.build, now: new Date(this.now).toISOString() },
    };
  }

  #stream(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const orders = [...this.orders.values()];
    const parts = Math.max(1, Math.ceil(orders.length / PART));
    for (let part = 1; part <= parts; part += 1) {
      const first = part === 1 ? { restaurant: this.restaurant, items: [...this.items.values()] } : {};
      const slice = orders.slice((part - 1) * PART, part * PART);
      const data = { part, parts, now: new Date(this.now).toISOString(), build: this.build, ...first, orders: slice };
      response.write(`event: snapshot\ndata: ${JSON.stringify(data)}\n\n`);
    }
    this.#streams.add(response);
    response.on('close', () => this.#streams.delete(response));
  }

  #command(path: string, body: Record<string, unknown>): unknown {
    const [, , kind, id = '', ...rest] = path.split('/');
    if (kind === 'orders') return this.#orderCommand(id, rest[0] ?? '', body);
    if (rest[0] === 'pause' || rest[0] === 'resume') {
      const paused = { ...this.restaurant, accepting: rest[0] === 'resume', revision: this.restaurant.revision + 1 };
      if (rest[0] === 'pause') paused.pause = body;
      else delete paused.pause;
      this.restaurant = paused;
      this.#send('restaurant', paused);
      return paused;
    }
    const slug = rest[2] ?? '';
    const known = this.items.get(slug);
    const item: BoardItem = { ...(known ?? { item: slug, name: MENU.find((entry) => entry.id === slug)?.name ?? slug, available: true }) };
    if (rest[3] === 'availability') {
      item.available = body['status'] === 'available';
      delete item.until;
      if (body['until'] !== undefined) item.until = String(body['until']);
    } else if (rest[4] === 'adjust') {
      item.remaining = (item.remaining ?? 0) + Number(body['by']);
    } else if (body['remaining'] === null) delete item.remaining;
    else item.remaining = Number(body['remaining']);
    this.items.set(item.item, item);
    this.#send('item', item);
    return item;
  }

  #orderCommand(id: string, command: string, body: Record<string, unknown>): unknown {
    const order = this.orders.get(id);
    const illegal = { status: 409, code: 'illegal_move', detail: 'The order does not allow this.' };
    if (order === undefined) return illegal;
    if (command === 'accept') {
      if (order.status !== 'confirmed') return { status: 409, code: 'already_accepted' };
      const readyBy = new Date(this.now + Number(body['preparation_minutes']) * 60_000).toISOString();
      return this.change(id, { status: 'preparing', ready_by: readyBy });
    }
    if (command === 'ready') return order.status === 'preparing' ? this.change(id, { status: 'ready_for_pickup' }) : illegal;
    if (command === 'deliver') return order.status === 'ready_for_pickup' ? this.end(id, 'delivered') : illegal;
    const how = command === 'reject' ? 'rejected' : 'cancelled';
    return this.end(id, 'cancelled', { how, ...body, ...(how === 'cancelled' ? { by: { role: 'restaurant' } } : {}) });
  }
}
