// A small stand-in for Dabba to look at the customer's pages in every state: `node tests/mock/server.mjs [port]`.
//
//     /t/STATE            an order in a state of fixtures.mjs, such as /t/preparing
//     /order/any          a restaurant; /order/closed is closed, /order/charged has several fees and taxes
//     POST /mock/STATE    moves every open tracking stream to another state
//
// It proves nothing about the API: the browser tests use the real server.
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chargesOf, menuOf, restaurantOf, trackingOf } from './fixtures.mjs';

const DIST = process.env.DABBA_UI_OUT ?? fileURLToPath(new URL('../../dist', import.meta.url));
/** @type {Record<string, string>} */
const TYPES = { '.css': 'text/css', '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.svg': 'image/svg+xml' };
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; " +
  "base-uri 'none'; form-action 'self'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html dabba 'allow-duplicates'";

/** @typedef {import('node:http').ServerResponse} Response */
/** @type {Set<Response>} */
const streams = new Set();
let session = false;

/** @param {Response} response @param {number} status @param {unknown} [body] */
function send(response, status, body) {
  response.writeHead(status, { 'content-type': status < 400 ? 'application/json' : 'application/problem+json' });
  response.end(body === undefined ? '' : JSON.stringify(body));
}

/** @param {Response} response @param {number} status @param {string} code */
function refuse(response, status, code, more = {}) {
  send(response, status, { code, status, title: code.replaceAll('_', ' '), detail: `The mock says ${code}.`, request_id: 'mock', ...more });
}

/** @param {Response} response @param {string} event @param {unknown} data */
const emit = (response, event, data) => response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);

/**
 * @param {{ lines: { item: string, quantity: number, options?: { group: string, option: string }[] }[], fulfilment: unknown }} cart
 * @param {boolean} [charged] Whether the restaurant has several fees and taxes.
 */
function quote(cart, charged = false) {
  const items = new Map(menuOf().categories.flatMap((category) => category.items).map((item) => [item.id, item]));
  let subtotal = 0;
  const obstacles = [];
  for (const line of cart.lines) {
    const item = items.get(line.item);
    if (item === undefined) continue;
    const groups = /** @type {{ id: string, options: { id: string, price_minor: number }[] }[]} */ (item.option_groups);
    const extra = (line.options ?? []).map(
      ({ group, option }) => groups.find(({ id }) => id === group)?.options.find(({ id }) => id === option)?.price_minor ?? 0,
    );
    subtotal += (item.price_minor + extra.reduce((sum, price) => sum + price, 0)) * line.quantity;
    if (line.item === 'okra-fry' && line.quantity > 2) {
      obstacles.push({ code: 'out_of_stock', detail: 'Not enough.', shortages: [{ item: 'okra-fry', available: 2 }] });
    }
  }
  const delivery = cart.fulfilment === 'delivery';
  if (delivery && subtotal < 1200) obstacles.push({ code: 'below_minimum_order', detail: 'Too small.', minimum: 1200 });
  const delivery_fee = delivery && subtotal < 4000 ? 299 : 0;
  const charges = charged ? chargesOf(subtotal, delivery_fee) : {};
  const tax = Math.round(subtotal * 0.2);
  const amounts = { subtotal, discount: 0, tax, delivery_fee, tip: 0, total: subtotal + tax + delivery_fee };
  return { amounts, ...charges, currency: 'GBP', lines: [], menu_revision: 7, obstacles, orderable: obstacles.length === 0 };
}

const SESSION = () => ({
  id: 'session',
  account: { id: 'account', name: 'Asha Rao', email: 'asha@example.com', role: 'customer', version: 1, created_at: '2026-01-01T00:00:00Z' },
  restaurants: [],
  expires_at: '2036-01-01T00:00:00Z',
  server: { version: '0', build: 'mock', now: new Date().toISOString(), simulated_payments: true },
});

/** @param {string} method @param {string} path @param {any} body @param {Response} response */
function api(method, path, body, response) {
  const [, , kind, id = '', action] = path.split('/');
  if (kind === 'restaurants' && action === 'menu') return send(response, 200, menuOf());
  if (kind === 'restaurants' && action === 'quotes') return send(response, 200, quote(body, id === 'charged'));
  if (kind === 'restaurants' && action === 'orders') return place(body, response);
  if (kind === 'restaurants') {
    if (id === 'unknown') return refuse(response, 404, 'not_found');
    const closed = { accepting: false, opens_at: new Date(Date.now() + 3 * 3_600_000).toISOString() };
    return send(response, 200, restaurantOf(Date.now(), id === 'closed' ? closed : {}));
  }
  if (kind === 'accounts') return send(response, 201, SESSION().account);
  if (kind === 'session') {
    if (method === 'POST') session = true;
    if (method === 'DELETE') session = false;
    if (method === 'DELETE') return send(response, 204);
    return session ? send(response, 200, SESSION()) : refuse(response, 401, 'unauthenticated');
  }
  if (kind === 'orders' && method === 'GET') return send(response, 200, { orders: [] });
  if (kind === 'orders') return send(response, 201, { token: 'confirmed', path: '/t/confirmed' });
  if (kind === 'tracking') return track(id, action, response);
  return refuse(response, 404, 'not_found');
}

/** @param {any} order @param {Response} response */
function place(order, response) {
  if (order.contact.name === 'price') {
    const changed = quote({ ...order, fulfilment: order.fulfilment.type });
    changed.amounts.total += 100;
    return refuse(response, 409, 'menu_changed', { quote: changed });
  }
  if (order.contact.name === 'wait') return refuse(response, 503, 'unavailable');
  if (order.contact.phone === '1') {
    return refuse(response, 422, 'invalid', { errors: [{ pointer: '/contact/phone', detail: 'must have at least 3 digits' }] });
  }
  return send(response, 201, { id: 'order-confirmed' });
}

/** @param {string} token @param {string | undefined} action @param {Response} response */
function track(token, action, response) {
  const tracking = trackingOf(token);
  if (tracking === undefined) return refuse(response, 404, 'not_found');
  if (action === 'cancel') {
    const cancelled = trackingOf('cancelled');
    return send(response, 200, cancelled && { ...cancelled, order: { ...cancelled.order, id: tracking.order.id, version: 9 } });
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  emit(response, 'tracking', tracking);
  streams.add(response);
  response.on('close', () => streams.delete(response));
}

/** @param {string} path @param {Response} response */
function file(path, response) {
  const page = /^\/t\/[^/]+$/.test(path) ? 'tracking' : /^\/order\/[^/]+$/.test(path) ? 'order' : undefined;
  const name = join(DIST, page === undefined ? path : `${page}.html`);
  if (!existsSync(name) || !TYPES[extname(name)]) return response.writeHead(404).end();
  response.writeHead(200, { 'content-type': TYPES[extname(name)], 'content-security-policy': POLICY });
  return response.end(readFileSync(name));
}

const server = createServer(async (request, response) => {
  const path = new URL(request.url ?? '/', 'http://mock').pathname;
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  if (path.startsWith('/v1/')) {
    api(request.method ?? 'GET', path, text === '' ? undefined : JSON.parse(text), response);
  } else if (path.startsWith('/mock/')) {
    const next = trackingOf(path.slice('/mock/'.length));
    if (next !== undefined) for (const stream of streams) emit(stream, 'tracking', { ...next, order: { ...next.order, version: 99 } });
    response.end();
  } else {
    file(path, response);
  }
});

setInterval(() => {
  for (const stream of streams) emit(stream, 'heartbeat', { now: new Date().toISOString() });
}, 10_000);
server.listen(Number(process.argv[2] ?? 5180), '127.0.0.1', () => {
  const address = server.address();
  console.log(`http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`);
});
