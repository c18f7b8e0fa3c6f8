// The address of a view: everything that the console shows is in the URL, so that reload, back and links work.
import { decodePart } from '../lib/address';
import type { Body } from '../lib/api';

export const SECTIONS = ['orders', 'tasks', 'restaurants', 'accounts', 'webhooks', 'statistics', 'shards'] as const;
export type Section = (typeof SECTIONS)[number];

export interface Route {
  section: Section;
  /** The selected entry. */
  id: string | undefined;
  query: URLSearchParams;
}

const ROOT = '/console';

/** Returns the view of an address. An unknown section shows the orders. */
export function parseRoute(path: string, search: string): Route {
  const [name, id] = path.slice(ROOT.length).split('/').filter(Boolean).map(decodePart);
  const section = SECTIONS.find((known) => known === name) ?? 'orders';
  return { section, id: section === name ? id : undefined, query: new URLSearchParams(search) };
}

/** Returns the address of a view. */
export function address(section: Section, id?: string, query?: URLSearchParams): string {
  const path = id === undefined ? `${ROOT}/${section}` : `${ROOT}/${section}/${encodeURIComponent(id)}`;
  const text = query?.toString() ?? '';
  return text === '' ? path : `${path}?${text}`;
}

/** Returns a copy of a query with some parameters set, or removed (`undefined`). */
export function withParameters(query: URLSearchParams, changes: Record<string, string | undefined>): URLSearchParams {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === '') next.delete(name);
    else next.set(name, value);
  }
  return next;
}

export type OrderStatus = Body<'OrderStatus'>;

export const OPEN_STATUSES = [
  'created',
  'confirmed',
  'preparing',
  'ready_for_pickup',
  'out_for_delivery',
] as const satisfies readonly OrderStatus[];
export const ENDED_STATUSES = ['delivered', 'cancelled', 'refunded'] as const satisfies readonly OrderStatus[];

export const VIEWS = ['open', 'ended', 'all'] as const;
export type View = (typeof VIEWS)[number];

/** The statuses that an order may have after an event, by the type of the event; empty: the status stays. */
const STATUSES_AFTER = new Map<string, readonly OrderStatus[]>([
  ['placed', ['created']],
  ['confirmed', ['confirmed']],
  ['accepted', ['preparing']],
  ['marked_ready', ['ready_for_pickup']],
  ['picked_up', ['out_for_delivery']],
  ['delivered', ['delivered']],
  ...['rejected', 'cancelled', 'expired', 'payment_failed'].map((type) => [type, ['cancelled']] as const),
  ...['refunded', 'refund_reversed', 'chargeback_lost', 'chargeback_won'].map((type) => [type, ENDED_STATUSES] as const),
  ...['acceptance_due', 'courier_assigned', 'payment_authorized', 'payment_captured', 'payment_voided'].map((type) => [type, []] as const),
  ...['payment_differs', 'refund_requested', 'refund_failed', 'chargeback_opened'].map((type) => [type, []] as const),
]);

/**
 * Returns the statuses that an order may have after an event of a type; empty if the event leaves the status as it is, and
 * `undefined` for a type that this build does not know.
 */
export function statusesAfter(type: string): readonly OrderStatus[] | undefined {
  return STATUSES_AFTER.get(type);
}

export interface OrderFilters {
  view: View;
  /** Statuses within the view; empty: all of the view. */
  status: OrderStatus[];
  restaurant: string | undefined;
  /** Only late and stuck orders. */
  attention: boolean;
}

/** Statuses of a view. */
export function statusesOf(view: View): readonly OrderStatus[] {
  if (view === 'open') return OPEN_STATUSES;
  return view === 'ended' ? ENDED_STATUSES : [...OPEN_STATUSES, ...ENDED_STATUSES];
}

/** Statuses that the filters select. */
export function selectedStatuses(filters: OrderFilters): readonly OrderStatus[] {
  return filters.status.length > 0 ? filters.status : statusesOf(filters.view);
}

/** Reads the filters of the orders from a query. Values that do not exist are ignored. */
export function readFilters(query: URLSearchParams): OrderFilters {
  const view = VIEWS.find((known) => known === query.get('view')) ?? 'open';
  const named = (query.get('status') ?? '').split(',');
  const restaurant = query.get('restaurant') ?? '';
  return {
    view,
    status: statusesOf(view).filter((status) => named.includes(status)),
    restaurant: restaurant === '' ? undefined : restaurant,
    attention: query.get('attention') === '1',
  };
}

/** Returns the query of the filters. The default has no parameters, so that equal views have equal addresses. */
export function writeFilters(filters: OrderFilters): URLSearchParams {
  return withParameters(new URLSearchParams(), {
    view: filters.view === 'open' ? undefined : filters.view,
    status: statusesOf(filters.view).filter((status) => filters.status.includes(status)).join(','),
    restaurant: filters.restaurant,
    attention: filters.attention && filters.view !== 'ended' ? '1' : undefined,
  });
}

/** Whether an order belongs to the list with these filters, apart from `attention`, which depends on the time. */
export function matches(filters: OrderFilters, order: { status: string; restaurant_id: string }): boolean {
  const statuses: readonly string[] = selectedStatuses(filters);
  return statuses.includes(order.status) && (filters.restaurant ?? order.restaurant_id) === order.restaurant_id;
}
