// Search for orders by id, display code, e-mail address, or the id of a customer's account.
import { api, ApiError, unwrap, type Body, type Order } from '../../lib/api';
import { pageQuery } from '../paged.svelte';
import type { Search } from '../search';

/** Number of orders per request, also of those with one display code. */
const PAGE = 100;

export interface Found {
  orders: Order[];
  /** The account that the search names. */
  account?: Body<'Account'>;
  /** Time before which no orders were searched, because the search reached its bound. */
  since?: string;
  /** Whether a shard did not answer. */
  incomplete: boolean;
  /** Where the next page begins. */
  next?: { customer: string; cursor: string };
}

/** Returns the orders of a customer, newest first: by e-mail address or id of the account. */
export async function ordersOf(customer: string, cursor?: string): Promise<Found> {
  const query = { customer, ...pageQuery(PAGE, cursor) };
  const page = await unwrap(api.GET('/v1/orders', { params: { query } }));
  const found: Found = { orders: page.orders, incomplete: page.incomplete === true };
  if (page.next_cursor !== undefined) found.next = { customer, cursor: page.next_cursor };
  return found;
}

async function byCode(code: string): Promise<Found> {
  const page = await unwrap(api.GET('/v1/orders', { params: { query: { code, limit: PAGE } } }));
  const found: Found = { orders: page.orders, incomplete: page.incomplete === true };
  if (page.searched_since !== undefined) found.since = page.searched_since;
  return found;
}

async function byEmail(email: string): Promise<Found> {
  const [found, { accounts }] = await Promise.all([
    ordersOf(email),
    unwrap(api.GET('/v1/accounts', { params: { query: { email } } })),
  ]);
  const [account] = accounts;
  return account === undefined ? found : { ...found, account };
}

/** Returns the answer; `undefined` if nothing has this id. */
async function unlessUnknown<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

/** An id is that of an order; otherwise that of a customer's account. */
async function byId(id: string): Promise<Found> {
  const order = await unlessUnknown(unwrap(api.GET('/v1/orders/{order_id}', { params: { path: { order_id: id } } })));
  if (order !== undefined) return { orders: [order], incomplete: false };
  const account = await unlessUnknown(unwrap(api.GET('/v1/accounts/{account_id}', { params: { path: { account_id: id } } })));
  if (account === undefined) return { orders: [], incomplete: false };
  return { ...(await ordersOf(account.id)), account };
}

export function find(search: Exclude<Search, { kind: 'unknown' }>): Promise<Found> {
  if (search.kind === 'id') return byId(search.id);
  return search.kind === 'code' ? byCode(search.code) : byEmail(search.email);
}
