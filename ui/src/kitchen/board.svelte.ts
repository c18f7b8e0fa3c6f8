/* eslint-disable svelte/prefer-svelte-reactivity -- Sets, maps and dates here are private: no component reads them. */
// The board of a restaurant in this tab: connects stream, state, outbox, cache and ringing, and shows the result.
import { api, unwrap } from '../lib/api';
import { clock } from '../lib/clock';
import { keptInTab } from '../lib/kept';
import { openOutbox, type TabOutbox } from '../lib/outbox-tabs';
import type { Command, Entry } from '../lib/outbox';
import { uuid } from '../lib/random';
import type { StreamState } from '../lib/sse';
import type { StreamEvent } from '../lib/sse-parser';
import { openSharedStream, type SharedStream } from '../lib/tabs';
import { noteBuild } from '../lib/update.svelte';
import { BoardCache } from './cache';
import { allows, refusalOf, subjectOf, undoDelay, type CommandKind, type Subject } from './commands';
import { Frames } from './frames';
import { addNotice, changeNotices, noticeOf, unknownEnds, type Notice, type NoticeChange } from './notices';
import { answers, streamAddress } from './reach';
import { createAudio, ringPlan, Ringer, SILENT } from './ring';
import { RingTurn } from './ring-tabs';
import * as store from './store';
import { PrintQueue } from './tickets/queue';
import type { BoardItem, BoardOrder, Order, Restaurant } from './types';
import { untilOverdue } from './unsent';
import { ColumnBuilder, COLUMNS, columnOf, countOrders, matchesSearch, NO_COLUMNS, NO_COUNTS, pendingByOrder } from './view';
import type { CardModel, Columns, Counts, Pending } from './view';

/** Maximum number of orders whose end the board asks for after a reconnection. */
const MAXIMUM_LOOKUPS = 20;
/** Maximum number of ended orders that the board still knows by their answers. */
const MAXIMUM_ENDS = 100;
/** Minimum time between two reconnections because the state differs from the server's, in milliseconds. */
const RESYNCHRONIZE_INTERVAL = 5_000;

/** A message that the page shows once, in words. */
export type Message =
  | { kind: 'arrived'; orders: BoardOrder[] }
  | { kind: 'due'; order: BoardOrder }
  | { kind: 'elsewhere'; command: CommandKind; code: string }
  | { kind: 'unsaved' };

export interface BoardOptions {
  restaurant: string;
  account: string;
  database: IDBDatabase;
  onMessage: (message: Message) => void;
  /** Called when an accepted order shall be printed. */
  onPrint: (order: BoardOrder) => void;
}

export class Board {
  columns = $state.raw<Columns>(NO_COLUMNS);
  /** Number of orders by column, whatever the search shows; of new ones, those without an answer. */
  counts = $state.raw<Counts>(NO_COUNTS);
  /** Number of those orders that match the search, by column. */
  found = $state.raw<Counts>(NO_COUNTS);
  restaurant = $state.raw<Restaurant | undefined>();
  /** The items that are unavailable or whose stock is limited, by id. */
  items = $state.raw<ReadonlyMap<string, BoardItem>>(new Map());
  truncated = $state(false);
  connection = $state.raw<StreamState>({ status: 'connecting' });
  /** The server's time of the last message, in milliseconds. */
  updated = $state.raw<number | undefined>();
  /** The commands of this board in the account's outbox. */
  entries = $state.raw<Entry[]>([]);
  /** Whether commands of the account wait that a closed page would not send, also those of other pages. */
  unsent = $state(false);
  /** The refused commands that the user must know about. A refusal that is no error never appears here. */
  refusals = $state.raw<Entry[]>([]);
  notices = $state.raw<Notice[]>([]);
  soundLocked = $state(true);
  /** Whether the session ended under the open board. */
  signedOut = $state(false);
  search = $state('');
  /** How orders ended that the board had to ask for, by id. */
  ends = $state.raw<ReadonlyMap<string, Order>>(new Map());
  /** Number of orders that ring. */
  ringing = $state(0);
  /** Answered orders whose answer does not reach the server: display codes by id. They ring again. */
  overdue = $state.raw<ReadonlyMap<string, string>>(new Map());

  readonly ringer: Ringer;
  readonly #turn: RingTurn;
  readonly #options: BoardOptions;
  readonly #cache: BoardCache;
  readonly #builder = new ColumnBuilder();
  readonly #frames = new Frames(() => this.#show());
  readonly #outbox: TabOutbox;
  #stream: SharedStream | undefined;
  #state = store.emptyState();
  #lastUpdate: number | undefined;
  #build = '';
  #resynchronized = Number.NEGATIVE_INFINITY;
  /** Orders with a tap whose command is not in the outbox yet, and orders that this device ended. */
  readonly #tapped = new Set<string>();
  readonly #ended = new Set<string>();
  readonly #toPrint: PrintQueue;
  readonly #channel: BroadcastChannel;
  /** Keys of the refused commands that the board examines or has examined, and of those that are errors. */
  readonly #handled = new Set<string>();
  readonly #errors = new Set<string>();
  #closed = false;
  #wake: ReturnType<typeof setTimeout> | undefined;

  constructor(options: BoardOptions) {
    this.#options = options;
    this.#cache = new BoardCache(options.database, options.restaurant);
    const name = `${options.account}-${options.restaurant}`;
    this.#toPrint = new PrintQueue(keptInTab, `dabba.kitchen.print.${name}`);
    this.#channel = new BroadcastChannel(`dabba-notices-${name}`);
    this.#channel.onmessage = (event: MessageEvent<NoticeChange>) => (this.notices = changeNotices(this.notices, event.data));
    this.#turn = new RingTurn({
      name: `dabba-ring-${name}`,
      onChange: () => this.#ring(),
    });
    this.ringer = new Ringer({
      create: createAudio,
      now: () => clock.now(),
      onLocked: (locked) => {
        this.soundLocked = locked;
        // The first call comes before there is a ringer.
        queueMicrotask(() => this.#ring());
      },
    });
    this.#outbox = openOutbox({
      account: options.account,
      database: options.database,
      onChange: (entries) => this.#entriesChanged(entries),
      onDone: (entry, body) => this.#done(entry, body),
      onUnauthenticated: () => (this.signedOut = true),
      unreachable: async () => !this.#live && !(await answers()) && !this.#live,
    });
  }

  /** Shows what the device kept, then connects. */
  async start(): Promise<void> {
    const [kept, notices] = await Promise.all([this.#cache.read(), this.#cache.readNotices()]);
    if (this.#closed) return;
    // Another tab may have changed them meanwhile.
    this.notices = this.notices.reduce<Notice[]>(addNotice, notices);
    if (kept !== undefined && this.#state.restaurant === undefined) {
      const step = store.reduce(this.#state, { event: 'snapshot', data: kept });
      this.#state = store.connected(step.state);
      this.#lastUpdate = Date.parse(kept.now);
    }
    this.#changed();
    const { restaurant, account } = this.#options;
    this.#stream = openSharedStream({
      name: `board-${account}-${restaurant}`,
      url: () => streamAddress(restaurant),
      onConnect: () => (this.#state = store.connected(this.#state)),
      onMessage: (event) => this.#receive(event),
      onState: (state) => this.#connectionChanged(state),
      replay: () => this.#replay(),
    });
  }

  close(): void {
    this.#closed = true;
    this.unsent = false;
    clearTimeout(this.#wake);
    this.#channel.close();
    this.#stream?.close();
    this.#outbox.close();
    this.#turn.close();
    this.ringer.close();
  }

  /** Connects again: after a sign-in, or on a tap. */
  reconnect(): void {
    this.#stream?.reconnect();
    this.#outbox.outbox.retryNow();
  }

  /** Connects again with the device's new name. Every tab receives the name, and one tab has the stream. */
  renamed(): void {
    if (this.#stream?.leader === true) this.#stream.reconnect();
  }

  /** Holds updates back while a finger is on the page. */
  hold(down: boolean): void {
    if (down) this.#frames.hold();
    else this.#frames.release();
  }

  /** Keeps what the board shows for a reload without a network. Call it when the page may end. */
  keep(): void {
    // After a sign-out nothing of the account may be written again.
    if (!this.#closed) this.#cache.write(() => this.#snapshot(), true);
  }

  get #live(): boolean {
    return this.connection.status === 'live';
  }

  get searching(): boolean {
    return this.search.trim() !== '';
  }

  /** The first card that matches the search; `undefined` if none does. */
  get hit(): CardModel | undefined {
    return COLUMNS.flatMap((name) => this.columns[name]).find((card) => matchesSearch(card.order, this.search));
  }

  order(id: string): BoardOrder | undefined {
    return this.#state.answers.get(id) ?? this.#state.orders.get(id);
  }

  /** What the board knows of an order: its status, or how it left. */
  status(id: string): ReturnType<typeof store.statusOf> {
    return this.ends.get(id) ?? store.statusOf(this.#state, id);
  }

  /** Returns an order as the board knows it now, also if it has left. */
  current(order: BoardOrder): BoardOrder {
    // The orders themselves are no state; the columns change with them.
    void this.columns;
    const open = this.order(order.id);
    if (open !== undefined) return open;
    const left = this.status(order.id);
    // A recalled order may be newer than what the board knows.
    return left !== undefined && left.version > order.version ? { ...order, ...left, allowed_actions: [] } : order;
  }

  /** Returns the command to an order that is on its way; `undefined` if there is none. */
  pending(id: string): Pending | undefined {
    return pendingByOrder(this.entries).get(id);
  }

  /** Returns the last command on its way that pauses or resumes the restaurant; `undefined` if there is none. */
  get pausing(): Entry | undefined {
    return this.entries.filter((entry) => entry.state !== 'refused' && /^(pause|resume)$/.test(subjectOf(entry)?.kind ?? '')).at(-1);
  }

  /** Puts a command to an order into the outbox: one tap, one command. Returns whether the outbox has it. */
  async command(order: BoardOrder, kind: CommandKind, command: Command, print = false): Promise<boolean> {
    if (this.#tapped.has(order.id) || this.pending(order.id) !== undefined) {
      // On a card, this is the second tap of a double tap. A dialog closes at its first tap, so its command would be lost.
      if (kind === 'reject' || kind === 'cancel') this.#options.onMessage({ kind: 'unsaved' });
      return false;
    }
    this.#tapped.add(order.id);
    this.#ring();
    const key = uuid();
    // The page may end as soon as the outbox has the command.
    if (print) this.#toPrint.add(order.id, key);
    try {
      await this.#outbox.outbox.put(command, undoDelay(kind, order, clock.now()), key);
      return true;
    } catch {
      this.#toPrint.forget(key);
      this.#options.onMessage({ kind: 'unsaved' });
      return false;
    } finally {
      this.#tapped.delete(order.id);
      this.#changed();
    }
  }

  /** Puts a command to the restaurant or an item into the outbox, which has it when the promise resolves. */
  async give(command: Command, key?: string): Promise<void> {
    try {
      await this.#outbox.outbox.put(command, 0, key);
    } catch {
      this.#options.onMessage({ kind: 'unsaved' });
    }
  }

  /** Takes a command back that was not sent yet. */
  async undo(key: string): Promise<boolean> {
    const undone = await this.#outbox.outbox.undo(key);
    if (undone) this.#toPrint.forget(key);
    return undone;
  }

  /** Takes back the last command that was not sent yet. */
  async undoLast(): Promise<boolean> {
    const waiting = [...this.entries].reverse().find((entry) => entry.state === 'waiting' && entry.attempts === 0);
    return waiting !== undefined && this.undo(waiting.key);
  }

  dismissRefusals(keys: readonly string[]): void {
    for (const key of keys) void this.#outbox.outbox.dismiss(key);
  }

  dismissNotices(ids: readonly string[]): void {
    this.#changeNotices({ dismiss: ids }, true);
  }

  /** `share`: the other tabs do not learn it from the server. */
  #changeNotices(change: NoticeChange, share: boolean): void {
    if (this.#closed) return;
    this.notices = changeNotices(this.notices, change);
    this.#cache.writeNotices(this.notices);
    if (share) this.#channel.postMessage(change);
  }

  /** Searches. The columns show it at once, so that the caller can select what was found. */
  find(search: string): void {
    this.search = search;
    this.#show();
  }

  #receive(event: StreamEvent): void {
    const message = store.parseMessage(event);
    if (message === undefined) return;
    if (message.event === 'snapshot' || message.event === 'heartbeat') {
      clock.observe(message.data.now);
      noteBuild(message.data.build);
      this.#build = message.data.build;
    }
    this.#lastUpdate = clock.now();
    const { state, effects } = store.reduce(this.#state, message);
    this.#state = state;
    for (const effect of effects) this.#follow(effect);
    this.#changed();
    if (state.synchronized) this.#cache.write(() => this.#snapshot());
  }

  #follow(effect: store.Effect): void {
    if (effect.kind === 'arrived') {
      const unanswered = effect.orders.filter((order) => order.status === 'confirmed');
      if (unanswered.length > 0) this.#options.onMessage({ kind: 'arrived', orders: unanswered });
    } else if (effect.kind === 'due') {
      this.#options.onMessage(effect);
    } else if (effect.kind === 'left') {
      this.#left(effect.order, effect.gone);
    } else if (effect.kind === 'vanished') {
      // Every tab lost them, and one asks.
      if (this.#stream?.leader === true) void this.#lookUp(effect.orders);
    } else if (performance.now() - this.#resynchronized >= RESYNCHRONIZE_INTERVAL) {
      this.#resynchronized = performance.now();
      this.#stream?.reconnect();
    }
  }

  #left(order: BoardOrder, left: Parameters<typeof noticeOf>[1], share = false): void {
    const notice = noticeOf(order, left, this.#ended.has(order.id), clock.now());
    if (notice !== undefined) this.#changeNotices({ add: notice }, share);
  }

  async #fetch(id: string): Promise<Order | undefined> {
    try {
      const order = await unwrap(api.GET('/v1/orders/{order_id}', { params: { path: { order_id: id } } }));
      if (columnOf(order.status) === undefined) this.ends = new Map([...this.ends, [id, order] as const].slice(-MAXIMUM_ENDS));
      return order;
    } catch {
      return undefined;
    }
  }

  /** Asks how orders ended that left while the board was not connected, and says of which ones it does not know. */
  async #lookUp(orders: BoardOrder[]): Promise<void> {
    const unknown = orders.slice(MAXIMUM_LOOKUPS);
    const look = async (order: BoardOrder) => {
      const now = await this.#fetch(order.id);
      if (now === undefined) unknown.push(order);
      else if (columnOf(now.status) === undefined) this.#left(order, now, true);
    };
    await Promise.all(orders.slice(0, MAXIMUM_LOOKUPS).map(look));
    const notice = unknownEnds(unknown, clock.now());
    if (notice !== undefined) this.#changeNotices({ add: notice }, true);
  }

  #connectionChanged(state: StreamState): void {
    // Commands that wait to be retried need not wait longer than the stream.
    if (state.status === 'live' && !this.#live) this.#outbox.outbox.retryNow();
    this.connection = state;
    if ((state.status === 'stale' || state.status === 'offline') && state.since !== undefined) {
      // A tab that gets the orders from another tab gets them later than that tab got them from the server.
      const since = clock.now() - (performance.now() - state.since);
      this.#lastUpdate = Math.min(this.#lastUpdate ?? since, since);
      this.keep();
    }
    if (state.status === 'ended') {
      if (state.error.status === 401) this.signedOut = true;
    } else if (state.status === 'live') {
      this.signedOut = false;
    }
    this.#changed();
  }

  #snapshot() {
    return store.toSnapshot(this.#state, new Date(this.#lastUpdate ?? clock.now()).toISOString(), this.#build);
  }

  #replay(): StreamEvent[] | undefined {
    const snapshot = store.toSnapshot(this.#state, new Date(clock.now()).toISOString(), this.#build);
    if (snapshot === undefined || !this.#state.synchronized) return undefined;
    return [{ event: 'snapshot', data: JSON.stringify(snapshot), id: undefined }];
  }

  #entriesChanged(all: Entry[]): void {
    this.unsent = all.some((entry) => entry.state !== 'refused');
    // The outbox belongs to the account, which may have other restaurants and pages.
    const restaurant = this.#options.restaurant.toLowerCase();
    const entries = all.filter((entry) => subjectOf(entry)?.restaurant === restaurant);
    const known = new Map(this.entries.map((entry) => [entry.key, entry]));
    this.entries = entries;
    for (const entry of entries) {
      const subject = subjectOf(entry);
      if (subject?.order !== undefined && (subject.kind === 'reject' || subject.kind === 'cancel')) {
        if (entry.state === 'refused') this.#ended.delete(subject.order);
        else this.#ended.add(subject.order);
      }
      if (entry.state === 'refused' && known.get(entry.key)?.state !== 'refused') void this.#refused(entry);
    }
    this.#showRefusals();
    this.#changed();
  }

  #showRefusals(): void {
    this.refusals = this.entries.filter((entry) => entry.state === 'refused' && this.#errors.has(entry.key));
  }

  #done(entry: Entry, body: unknown): void {
    // An order of another board changes nothing.
    if (subjectOf(entry)?.order !== undefined && store.isOrder(body)) this.#state = store.answered(this.#state, body);
    this.#changed();
  }

  /**
   * Decides whether a refusal is an error. The order's present status decides, and the stream may be later than the answer,
   * so the board shows no refusal before this decision.
   */
  async #refused(entry: Entry): Promise<void> {
    const subject = subjectOf(entry);
    if (subject === undefined || this.#handled.has(entry.key)) return;
    this.#handled.add(entry.key);
    if (subject.order !== undefined && (await this.#happenedElsewhere(entry, subject, subject.order))) {
      this.#options.onMessage({ kind: 'elsewhere', command: subject.kind, code: subject.code ?? '' });
      this.dismissRefusals([entry.key]);
    } else {
      this.#errors.add(entry.key);
      this.#showRefusals();
    }
    this.#changed();
  }

  async #happenedElsewhere(entry: Entry, subject: Subject, order: string): Promise<boolean> {
    const code = entry.problem?.code ?? '';
    let refusal = refusalOf(subject.kind, code, store.statusOf(this.#state, order)?.status);
    if (refusal === 'refused' && code === 'illegal_move') {
      const now = await this.#fetch(order);
      if (now !== undefined) {
        this.#state = store.answered(this.#state, now);
        refusal = refusalOf(subject.kind, code, now.status);
      }
    }
    return refusal === 'elsewhere';
  }

  #changed(): void {
    this.#ring();
    this.#frames.request();
    const find = (id: string) => this.order(id);
    for (const order of this.#toPrint.take(this.entries, find, this.#state.synchronized)) this.#options.onPrint(order);
  }

  #ring(): void {
    const pending = pendingByOrder(this.entries);
    const seconds = this.#state.restaurant?.acceptance_deadline_seconds ?? 0;
    const overdue = new Map<string, string>();
    let wake = Infinity;
    const unanswered = store.currentOrders(this.#state).filter((order) => {
      if (order.status !== 'confirmed' || !allows(order, 'accept') || this.#tapped.has(order.id)) return false;
      const answer = pending.get(order.id);
      if (answer === undefined) return true;
      const left = untilOverdue(answer.due, order, seconds, Date.now(), clock.now());
      if (left <= 0) overdue.set(order.id, order.display_code);
      else wake = Math.min(wake, left);
      return left <= 0;
    });
    clearTimeout(this.#wake);
    if (wake < Infinity && !this.#closed) this.#wake = setTimeout(() => this.#changed(), wake);
    if ([...overdue.keys()].join() !== [...this.overdue.keys()].join()) this.overdue = overdue;
    const silent = this.#closed || this.connection.status === 'ended';
    const plan = ringPlan(silent ? [] : unanswered, seconds, this.connection.status === 'live');
    if (!this.#closed) this.#turn.follow(!this.soundLocked, plan.ringing);
    this.ringer.follow(this.#turn.mine ? plan : SILENT);
    this.ringing = silent ? 0 : unanswered.length;
  }

  #show(): void {
    const orders = store.currentOrders(this.#state);
    const pending = pendingByOrder(this.entries);
    this.columns = this.#builder.build(orders, pending, this.search);
    // An answered order waits for nobody, although the server does not know the answer yet.
    const waiting = orders.filter(({ id, status }) => columnOf(status) !== 'new' || !pending.has(id) || this.overdue.has(id));
    const [counts, found] = [countOrders(waiting, ''), countOrders(waiting, this.search)];
    if (COLUMNS.some((name) => counts[name] !== this.counts[name])) this.counts = counts;
    if (COLUMNS.some((name) => found[name] !== this.found[name])) this.found = found;
    this.restaurant = this.#state.restaurant;
    this.items = this.#state.items;
    this.truncated = this.#state.truncated;
    this.updated = this.#lastUpdate;
  }
}
