/* eslint-disable svelte/prefer-svelte-reactivity -- no component shows these sets and maps */
// The orders of one set of filters, kept up to date by the feed.
//
// The feed names the orders that changed. The list reads each of them again, or the list as a whole if they are many, so that
// the number of requests is bounded however many orders change.
import { api, ApiError, unwrap, type Order } from '../../lib/api';
import { browserTimers, type Timers } from '../../lib/timers';
import { runAll } from '../bulk';
import type { Change } from '../changes';
import { merge } from '../livelist';
import { pageQuery } from '../paged.svelte';
import { parkedRead } from '../parked.svelte';
import { matches, selectedStatuses, statusesAfter, type OrderFilters } from '../route';
import { inTurn } from '../turns';

/** Number of orders per request. */
const PAGE = 100;
/** Maximum number of open orders that are read, to have the late ones first. */
export const MAXIMUM_OPEN = 1_000;
/** Maximum number of new orders that are kept until the person asks for them. */
export const MAXIMUM_WAITING = 1_000;
/** Maximum number of changed orders that are read one by one. More of them make the list be read as a whole. */
export const MAXIMUM_SINGLE_READS = 20;
/** Minimum time between two readings of the whole list because of changes, in milliseconds. */
export const RELOAD_INTERVAL = 5_000;
/** Pause before what could not be read is read again, in milliseconds. */
export const RETRY_PAUSE = 3_000;

export interface OrderPage {
  orders: Order[];
  next_cursor?: string;
  incomplete?: boolean;
}

/** Where the orders come from, and the time that passes. */
export interface Source {
  page: (filters: OrderFilters, cursor: string | undefined) => Promise<OrderPage>;
  order: (id: string) => Promise<Order>;
  /** Settles when it is known which orders are stuck. */
  ready: Promise<void>;
  timers: Timers;
}

const server: Source = {
  page(filters, cursor) {
    const query = { status: [...selectedStatuses(filters)], ...pageQuery(PAGE, cursor) };
    const { restaurant } = filters;
    if (restaurant === undefined) return unwrap(api.GET('/v1/orders', { params: { query } }));
    const path = { restaurant_id: restaurant };
    return unwrap(api.GET('/v1/restaurants/{restaurant_id}/orders', { params: { path, query } }));
  },
  order: (id) => unwrap(api.GET('/v1/orders/{order_id}', { params: { path: { order_id: id } } })),
  ready: parkedRead,
  timers: browserTimers,
};

interface Pages {
  orders: Order[];
  incomplete: boolean;
  cursor: string | undefined;
}

export class OrderList {
  readonly filters: OrderFilters;
  rows = $state.raw<readonly Order[]>([]);
  /** Orders that came since the list was read. */
  waiting = $state.raw<readonly Order[]>([]);
  /** Whether more orders came than `waiting` contains. */
  overflow = $state.raw(false);
  cursor = $state.raw<string | undefined>();
  loading = $state.raw(true);
  incomplete = $state.raw(false);
  failure = $state.raw<unknown>();
  readonly #source: Source;
  #generation = 0;
  /** Whether the list was read, so that changes have something to apply to. */
  #hasRead = false;
  #reading = false;
  /** Changed orders that are not read yet. */
  readonly #changed = new Set<string>();
  /** Whether the list must be read as a whole: too many orders changed, or changes are missing. */
  #stale = false;
  /** Earliest time of the next reading because of changes. */
  #nextReload = 0;
  #refreshing = false;
  #cancelPause: (() => void) | undefined;
  #closed = false;

  constructor(filters: OrderFilters, source: Source = server) {
    this.filters = filters;
    this.#source = source;
  }

  close(): void {
    this.#closed = true;
    this.#generation += 1;
    this.#cancelPause?.();
  }

  /** Whether all orders are read at once, so that late ones can come first. */
  get #isWhole(): boolean {
    return this.filters.view === 'open';
  }

  /** Reads the list anew. */
  async load(): Promise<void> {
    this.loading = true;
    this.#changed.clear();
    this.#stale = false;
    await this.#read(
      (isCurrent) => this.#readPages(this.#isWhole ? MAXIMUM_OPEN : PAGE, isCurrent),
      ({ orders, cursor, incomplete }) => {
        this.rows = newestFirst(orders);
        this.waiting = [];
        this.overflow = false;
        this.cursor = cursor;
        this.incomplete = incomplete;
        this.#hasRead = true;
      },
    );
  }

  /** Reads the next page. */
  async more(): Promise<void> {
    this.loading = true;
    await this.#read(
      () => this.#source.page(this.filters, this.cursor),
      (page) => {
        const shown = new Set(this.rows.map((row) => row.id));
        this.rows = [...this.rows, ...page.orders.filter((order) => !shown.has(order.id))];
        this.cursor = page.next_cursor;
        this.incomplete ||= page.incomplete === true;
      },
    );
  }

  /** Changes may be missing: reads the list again. Shown rows keep their places, and new orders wait. */
  again(): void {
    if (this.#hasRead) {
      this.#stale = true;
      this.#refresh();
    } else void this.load();
  }

  /** Reads orders that changed. Rows change in place; orders that are new to the list wait. */
  changed(changes: readonly Change[]): void {
    const known = new Map([...this.rows, ...this.waiting].map((order) => [order.id, order.version]));
    for (const change of changes) if (this.#concerns(change, known.get(change.order))) this.#note(change.order);
    this.#refresh();
  }

  #note(order: string): void {
    // The reading of the whole list contains the order.
    if (this.#stale) return;
    this.#changed.add(order);
    if (this.#changed.size <= MAXIMUM_SINGLE_READS) return;
    this.#changed.clear();
    this.#stale = true;
  }

  /** Whether a change may change the list. `version`: the order's as the list has it. */
  #concerns({ restaurant, type, version: latest }: Change, version: number | undefined): boolean {
    if (version !== undefined) return version < latest;
    if (restaurant !== (this.filters.restaurant ?? restaurant)) return false;
    // An event that does not change the status brings no order into the list.
    const statuses = statusesAfter(type);
    return statuses?.some((status) => matches(this.filters, { status, restaurant_id: restaurant })) ?? true;
  }

  /** Calls `show` with what `read` returns, unless another reading has begun meanwhile. Returns whether it failed. */
  async #read<T>(read: (isCurrent: () => boolean) => Promise<T>, show: (value: T) => void): Promise<boolean> {
    const mine = ++this.#generation;
    const isCurrent = () => mine === this.#generation;
    this.#reading = true;
    try {
      const value = await read(isCurrent);
      if (!isCurrent()) return false;
      show(value);
      this.failure = undefined;
      return false;
    } catch (failure) {
      if (!isCurrent()) return false;
      this.failure = failure;
      return true;
    } finally {
      if (isCurrent()) {
        this.loading = false;
        this.#reading = false;
        this.#refresh();
      }
    }
  }

  /** Reads pages until the end of the list, or until there are `count` orders. */
  async #readPages(count: number, isCurrent: () => boolean): Promise<Pages> {
    await this.#source.ready;
    // Orders that were placed between two pages shift the others, so an order may be in two pages.
    const orders = new Map<string, Order>();
    let incomplete = false;
    let cursor: string | undefined;
    do {
      const page = await this.#source.page(this.filters, cursor);
      for (const order of page.orders) orders.set(order.id, order);
      incomplete ||= page.incomplete === true;
      cursor = page.next_cursor;
    } while (cursor !== undefined && orders.size < count && isCurrent());
    return { orders: [...orders.values()], incomplete, cursor };
  }

  /** Reads what changed, unless that is under way or has to wait. Further changes wait for the next time, each order once. */
  #refresh(): void {
    if (this.#closed || this.#refreshing || this.#reading || !this.#hasRead || this.#cancelPause !== undefined) return;
    if (!this.#stale && this.#changed.size === 0) return;
    const pause = this.#stale ? this.#nextReload - this.#source.timers.monotonic() : 0;
    if (pause > 0) {
      this.#pause(pause);
      return;
    }
    this.#refreshing = true;
    void (this.#stale ? this.#reload() : this.#readChanged()).finally(() => {
      this.#refreshing = false;
      this.#refresh();
    });
  }

  #pause(duration: number): void {
    if (this.#closed) return;
    this.#cancelPause = this.#source.timers.after(duration, () => {
      this.#cancelPause = undefined;
      this.#refresh();
    });
  }

  /** Reads the shown part of the list again. */
  async #reload(): Promise<void> {
    this.#stale = false;
    this.#changed.clear();
    const failed = await this.#read(
      (isCurrent) => this.#readPages(this.#isWhole ? MAXIMUM_OPEN : Math.max(PAGE, this.rows.length), isCurrent),
      (pages) => {
        this.#merge(pages.orders);
        this.incomplete = pages.incomplete;
        this.#follow(pages);
      },
    );
    this.#nextReload = this.#source.timers.monotonic() + RELOAD_INTERVAL;
    if (failed && mayAnswerLater(this.failure)) this.#stale = true;
  }

  /** Finds out what became of orders that the list does not contain any more. */
  #follow({ orders, cursor, incomplete }: Pages): void {
    // Without an answer of a shard, its orders are missing, and have not left.
    if (incomplete) return;
    const read = new Set(orders.map((order) => order.id));
    const end = orders.at(-1)?.placed_at;
    // The list begins with the newest order. An order that is older than its last one belongs to a later page.
    const isReached = (order: Order) => cursor === undefined || (end !== undefined && order.placed_at > end);
    const hasLeft = (order: Order) => !read.has(order.id) && isReached(order) && matches(this.filters, order);
    this.waiting = this.waiting.filter((order) => !hasLeft(order));
    const left = this.rows.filter(hasLeft);
    if (left.length <= MAXIMUM_SINGLE_READS) for (const row of left) this.#note(row.id);
    // A restaurant's list of all orders begins with the open ones.
    else if (this.filters.view !== 'all') this.rows = this.rows.filter((row) => !hasLeft(row));
  }

  async #readChanged(): Promise<void> {
    const ids = [...this.#changed];
    this.#changed.clear();
    const orders: Order[] = [];
    const outcomes = await runAll(ids, async (id) => orders.push(await inTurn(() => this.#source.order(id))));
    if (this.#closed) return;
    this.#merge(orders);
    const failed = outcomes.filter((outcome) => !outcome.ok && mayAnswerLater(outcome.error));
    if (failed.length === 0) return;
    for (const { entry } of failed) this.#note(entry);
    this.#pause(RETRY_PAUSE);
  }

  #merge(read: readonly Order[]): void {
    const shown = new Set(this.rows.map((row) => row.id));
    const relevant = read.filter((order) => shown.has(order.id) || matches(this.filters, order));
    const left = new Set(read.filter((order) => !matches(this.filters, order)).map((order) => order.id));
    const { rows, waiting, changed } = merge(this.rows, this.waiting, relevant);
    if (changed) this.rows = rows;
    // An order that has left the view while it waited is not worth a click.
    const kept = waiting.filter((order) => !left.has(order.id));
    this.overflow ||= kept.length > MAXIMUM_WAITING;
    // Older orders are late earlier.
    this.waiting = kept.length > MAXIMUM_WAITING ? newestFirst(kept).slice(-MAXIMUM_WAITING) : kept;
  }

  /** Shows waiting orders at once if they are urgent. */
  admit(isUrgent: (order: Order) => boolean): void {
    const urgent = this.waiting.filter(isUrgent);
    if (urgent.length === 0) return;
    this.waiting = this.waiting.filter((order) => !isUrgent(order));
    // Orders that have left the view make room.
    const rows = this.rows.length < MAXIMUM_OPEN ? this.rows : this.rows.filter((row) => matches(this.filters, row));
    this.rows = [...urgent, ...rows];
  }

  /**
   * Shows the waiting orders as long as there is room, and removes orders that left the view. Call it while the reader has no
   * place in the list to lose.
   */
  settle(): void {
    const stay = this.rows.filter((order) => matches(this.filters, order));
    const hasRoom = !this.overflow && stay.length + this.waiting.length <= MAXIMUM_OPEN;
    const arrived = hasRoom ? this.waiting : [];
    if (arrived.length === 0 && stay.length === this.rows.length) return;
    this.rows = newestFirst([...arrived, ...stay]);
    if (hasRoom) this.waiting = [];
  }

  /** Shows the waiting orders, and gives every order its place. Orders that left the view disappear. */
  show(): void {
    if (this.overflow) {
      void this.load();
      return;
    }
    this.rows = newestFirst([...this.waiting, ...this.rows].filter((order) => matches(this.filters, order)));
    this.waiting = [];
  }
}

/** Sorts orders as the API does. Orders of the same time keep an order of their own, so that they do not swap places. */
function newestFirst(orders: readonly Order[]): Order[] {
  const before = (one: Order, other: Order) => (one.placed_at === other.placed_at ? one.id > other.id : one.placed_at > other.placed_at);
  return [...orders].sort((one, other) => (before(one, other) ? -1 : 1));
}

/** Whether a reading that failed may succeed later. After a 401, the next sign-in reads everything. */
function mayAnswerLater(error: unknown): boolean {
  return error instanceof ApiError && error.retryable && error.status !== 401;
}
