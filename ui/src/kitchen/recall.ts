// The orders that ended last. The API lists ended orders by the time at which they were placed, so that an order that took long
// may be behind many orders that ended before it.
import type { Order } from './types';
import { newestEndFirst } from './view';

/** Number of orders that the board recalls. */
export const RECALLED = 50;
/** Number of orders per request, and maximum number of requests. */
export const PAGE = 100;
export const MAXIMUM_PAGES = 3;
/** Age of an order at which the board stops reading, in milliseconds: older orders ended long ago. */
export const HORIZON = 6 * 3_600_000;

export interface EndedPage {
  orders: readonly Order[];
  next_cursor?: string | undefined;
}

/** Reads the ended orders that were placed within the horizon, at most `MAXIMUM_PAGES`. Returns the last ends, newest first. */
export async function recall(read: (page: { limit: number; cursor?: string }) => Promise<EndedPage>, now: number): Promise<Order[]> {
  const orders = new Map<string, Order>();
  let cursor: string | undefined;
  for (let page = 0; page < MAXIMUM_PAGES; page += 1) {
    const list = await read({ limit: PAGE, ...(cursor === undefined ? {} : { cursor }) });
    for (const order of list.orders) orders.set(order.id, order);
    const oldest = list.orders.at(-1);
    cursor = list.next_cursor;
    if (cursor === undefined || (oldest !== undefined && now - Date.parse(oldest.placed_at) > HORIZON)) break;
  }
  return newestEndFirst([...orders.values()]).slice(0, RECALLED);
}
