// The customer's open orders, and the way to their tracking pages.
import { api, unwrap, type Order } from './api';
import { keptInTab } from './kept';

/** Maximum number of open orders that a page shows. */
const LIMIT = 20;
const OPEN = ['created', 'confirmed', 'preparing', 'ready_for_pickup', 'out_for_delivery'] as const;

/** Returns the account's open orders, newest first. */
export async function openOrders(): Promise<Order[]> {
  const query = { status: [...OPEN], limit: LIMIT };
  return (await unwrap(api.GET('/v1/orders', { params: { query } }))).orders;
}

const LINKS = 'dabba.order.links';

/** The paths that this tab created, by their orders. */
function keptPaths(): Record<string, string> {
  try {
    return JSON.parse(keptInTab.get(LINKS) ?? '{}') as Record<string, string>;
  } catch {
    return {};
  }
}

/** Creates a tracking link of an order, and returns the path of its page. */
export async function createTrackingPath(order: string): Promise<string> {
  const params = { path: { order_id: order } };
  const { path } = await unwrap(api.POST('/v1/orders/{order_id}/tracking-link', { params }));
  keptInTab.set(LINKS, JSON.stringify({ ...keptPaths(), [order]: path }));
  return path;
}

/**
 * Returns the path of an order's tracking page. An order has few links, so a tab uses the link that it created again; the
 * link stays valid as long as the order is open.
 */
export async function trackingPath(order: string): Promise<string> {
  return keptPaths()[order] ?? createTrackingPath(order);
}
