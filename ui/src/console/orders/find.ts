// Search for orders. The API finds orders by id and accounts by e-mail address; for the rest, the newest orders are read.
import { api, ApiError, unwrap, type Body, type Order } from '../../lib/api';
import type { Search } from '../search';

/** Maximum number of orders that a search reads. */
export const MAXIMUM_SEARCHED = 1_000;
const PAGE = 100;

export interface Found {
  orders: Order[];
  account?: Body<'Account'>;
  /** Number of the newest orders that were searched, if there are older ones. */
  searched?: number;
}

/** Reads the newest orders until `enough`, and returns those for which `wanted` holds. */
async function scan(wanted: (order: Order) => boolean, enough: (found: readonly Order[]) => boolean): Promise<Found> {
  const orders: Order[] = [];
  let searched = 0;
  let cursor: string | undefined;
  do {
    const query = { limit: PAGE, ...(cursor === undefined ? {} : { cursor }) };
    const page = await unwrap(api.GET('/v1/orders', { params: { query } }));
    orders.push(...page.orders.filter(wanted));
    searched += page.orders.length;
    cursor = page.next_cursor;
  } while (cursor !== undefined && searched < MAXIMUM_SEARCHED && !enough(orders));
  return cursor === undefined ? { orders } : { orders, searched };
}

export async function find(search: Exclude<Search, { kind: 'unknown' }>): Promise<Found> {
  if (search.kind === 'id') {
    try {
      const params = { path: { order_id: search.id } };
      return { orders: [await unwrap(api.GET('/v1/orders/{order_id}', { params }))] };
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return { orders: [] };
      throw error;
    }
  }
  if (search.kind === 'code') return scan((order) => order.display_code === search.code, () => false);
  const { accounts } = await unwrap(api.GET('/v1/accounts', { params: { query: { email: search.email } } }));
  const [account] = accounts;
  if (account === undefined) return { orders: [] };
  const found = await scan(
    (order) => order.customer_id === account.id || order.courier_id === account.id,
    (orders) => orders.length >= PAGE,
  );
  return { ...found, account };
}
