/* eslint-disable svelte/prefer-svelte-reactivity -- no component shows these sets and maps */
// The orders of one set of filters, kept up to date by the feed.
import { api, ApiError, unwrap, type Order } from '../../lib/api';
import { clock } from '../../lib/clock';
import { runAll } from '../bulk';
import { attentionOf, byAttention } from '../lateness';
import type { Change } from '../live.svelte';
import { merge } from '../livelist';
import { pageQuery } from '../paged.svelte';
import { parkedRead, parkedSince } from '../parked.svelte';
import { matches, selectedStatuses, type OrderFilters } from '../route';

/** Number of orders per request. */
const PAGE = 100;
/** Maximum number of open orders that are read, to have the late ones first. */
export const MAXIMUM_OPEN = 1_000;

interface Page {
  orders: Order[];
  next_cursor?: string;
  incomplete?: boolean;
}

export class OrderList {
  readonly filters: OrderFilters;
  rows = $state.raw<Order[]>([]);
  /** Orders that came since the list was read. */
  waiting = $state.raw<Order[]>([]);
  cursor = $state.raw<string | undefined>();
  loading = $state.raw(true);
  incomplete = $state.raw(false);
  failure = $state.raw<unknown>();
  #generation = 0;
  readonly #changed = new Set<string>();
  #refreshing = false;

  constructor(filters: OrderFilters) {
    this.filters = filters;
  }

  async #read(cursor?: string): Promise<Page> {
    const query = { status: [...selectedStatuses(this.filters)], ...pageQuery(PAGE, cursor) };
    const { restaurant } = this.filters;
    if (restaurant === undefined) return unwrap(api.GET('/v1/orders', { params: { query } }));
    const path = { restaurant_id: restaurant };
    return unwrap(api.GET('/v1/restaurants/{restaurant_id}/orders', { params: { path, query } }));
  }

  /** Whether all orders are read at once, so that late ones can come first. */
  get #whole(): boolean {
    return this.filters.view === 'open';
  }

  /** Reads the list anew, and sorts it. With `inPlace`, shown rows keep their places and new orders wait. */
  async load({ inPlace = false } = {}): Promise<void> {
    const mine = ++this.#generation;
    this.loading = true;
    try {
      await parkedRead;
      const orders: Order[] = [];
      let incomplete = false;
      let cursor: string | undefined;
      do {
        const page = await this.#read(cursor);
        if (mine !== this.#generation) return;
        orders.push(...page.orders);
        incomplete ||= page.incomplete === true;
        cursor = page.next_cursor;
      } while (this.#whole && cursor !== undefined && orders.length < MAXIMUM_OPEN);
      if (inPlace) {
        this.#merge(orders);
        const read = new Set(orders.map((order) => order.id));
        for (const row of this.rows) if (!read.has(row.id)) this.#changed.add(row.id);
        void this.refresh([]);
      } else {
        // Orders that were placed between two pages shift the others, so an order may be in two pages.
        this.rows = this.#sorted([...new Map(orders.map((order) => [order.id, order])).values()]);
        this.waiting = [];
        this.cursor = cursor;
      }
      this.incomplete = incomplete;
      this.failure = undefined;
    } catch (failure) {
      if (mine === this.#generation) this.failure = failure;
    } finally {
      if (mine === this.#generation) this.loading = false;
    }
  }

  /** Reads the next page. */
  async more(): Promise<void> {
    const mine = ++this.#generation;
    this.loading = true;
    try {
      const page = await this.#read(this.cursor);
      if (mine !== this.#generation) return;
      const shown = new Set(this.rows.map((row) => row.id));
      this.rows = [...this.rows, ...page.orders.filter((order) => !shown.has(order.id))];
      this.cursor = page.next_cursor;
      this.incomplete ||= page.incomplete === true;
      this.failure = undefined;
    } catch (failure) {
      if (mine === this.#generation) this.failure = failure;
    } finally {
      if (mine === this.#generation) this.loading = false;
    }
  }

  /** Reads orders that changed. Rows change in place; orders that are new to the list wait. */
  async refresh(changes: readonly Change[]): Promise<void> {
    const { restaurant } = this.filters;
    for (const change of changes) {
      if (restaurant === undefined || change.restaurant === restaurant) this.#changed.add(change.order);
    }
    // While a run is under way, further changes wait for the next one, each order once.
    if (this.#refreshing) return;
    this.#refreshing = true;
    try {
      while (this.#changed.size > 0) {
        const orders = [...this.#changed];
        this.#changed.clear();
        await runAll(orders, async (id) => {
          const order = await readOrder(id);
          if (order !== undefined) this.#merge([order]);
        });
      }
    } finally {
      this.#refreshing = false;
    }
  }

  #merge(read: readonly Order[]): void {
    const shown = new Set(this.rows.map((row) => row.id));
    const relevant = read.filter((order) => shown.has(order.id) || matches(this.filters, order));
    const { rows, waiting, changed } = merge(this.rows, this.waiting, relevant);
    if (changed) this.rows = rows;
    // An order that has left the view while it waited is not worth a click.
    this.waiting = waiting.filter(
      (order) => matches(this.filters, order) && !read.some((other) => other.id === order.id && !matches(this.filters, other)),
    );
  }

  /** Shows the waiting orders, and gives every order its place. Orders that left the view disappear. */
  show(): void {
    const orders = [...this.waiting, ...this.rows].filter((order) => matches(this.filters, order));
    this.waiting = [];
    this.rows = this.#sorted(orders);
  }

  #sorted(orders: Order[]): Order[] {
    if (!this.#whole) return orders.sort((one, other) => (one.placed_at < other.placed_at ? 1 : -1));
    const now = clock.now();
    return orders
      .map((order) => ({
        order,
        id: order.id,
        placed_at: order.placed_at,
        attention: attentionOf(order, parkedSince(order.id), now),
      }))
      .sort(byAttention)
      .map((ranked) => ranked.order);
  }
}

/** Reads one order; `undefined` if it cannot be read now. */
export async function readOrder(id: string): Promise<Order | undefined> {
  try {
    return await unwrap(api.GET('/v1/orders/{order_id}', { params: { path: { order_id: id } } }));
  } catch (error) {
    if (error instanceof ApiError) return undefined;
    throw error;
  }
}
