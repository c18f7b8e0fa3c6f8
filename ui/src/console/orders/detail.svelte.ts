// One order with everything that the console shows about it.
import { api, ApiError, unwrap, type Body, type Order } from '../../lib/api';
import { orders } from '../orders.svelte';
import { pageQuery } from '../paged.svelte';
import type { OrderEvent } from './timeline';

/** Number of events per request. */
const PAGE = 100;
/** Maximum number of events of an order (the server's limit, and refunds after it) that are read. */
const MAXIMUM_EVENTS = 2_000;

export class OrderDetails {
  readonly id: string;
  order = $state.raw<Order>();
  events = $state.raw<OrderEvent[]>([]);
  ledger = $state.raw<Body<'Ledger'>>();
  failure = $state.raw<unknown>();
  /** Whether the order does not exist. */
  unknown = $state.raw(false);
  #generation = 0;

  constructor(id: string) {
    this.id = id;
  }

  /** Reads the order, its events and its ledger. What is shown stays until then. */
  async load(): Promise<void> {
    const mine = ++this.#generation;
    const path = { order_id: this.id };
    try {
      const [order, events, ledger] = await Promise.all([
        unwrap(api.GET('/v1/orders/{order_id}', { params: { path } })),
        this.#readEvents(),
        unwrap(api.GET('/v1/orders/{order_id}/ledger', { params: { path } })),
      ]);
      if (mine !== this.#generation) return;
      this.order = order;
      orders.keep(order.id, order);
      this.events = events;
      this.ledger = ledger;
      this.failure = undefined;
      this.unknown = false;
    } catch (error) {
      if (mine !== this.#generation) return;
      // A text that is no id is refused with 400, which means the same.
      if (error instanceof ApiError && [400, 404].includes(error.status)) this.unknown = true;
      else this.failure = error;
    }
  }

  async #readEvents(): Promise<OrderEvent[]> {
    const events: OrderEvent[] = [];
    let cursor: string | undefined;
    do {
      const params = { path: { order_id: this.id }, query: pageQuery(PAGE, cursor) };
      const page = await unwrap(api.GET('/v1/orders/{order_id}/events', { params }));
      events.push(...page.events);
      cursor = page.next_cursor;
    } while (cursor !== undefined && events.length < MAXIMUM_EVENTS);
    return events;
  }
}
