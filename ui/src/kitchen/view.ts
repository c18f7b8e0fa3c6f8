// What the columns show: the orders of the state, the commands on their way, and the search.
import { normalizeCode } from '../lib/digits';
import { number } from '../lib/format';
import type { Entry } from '../lib/outbox';
import { allows, subjectOf, type OrderCommandKind } from './commands';
import { targetOf } from './countdown';
import type { BoardItem, BoardOrder, Order, OrderLine } from './types';

export const COLUMNS = ['new', 'preparing', 'ready', 'out'] as const;
export type ColumnName = (typeof COLUMNS)[number];

const COLUMN_OF: Record<string, ColumnName> = {
  confirmed: 'new',
  preparing: 'preparing',
  ready_for_pickup: 'ready',
  out_for_delivery: 'out',
};

/** A command that the user gave and that the board does not show as done yet. */
export interface Pending {
  kind: OrderCommandKind;
  key: string;
  /** `undoable` until `due` (the device's time); then `sending` until the server answers. */
  stage: 'undoable' | 'sending' | 'retrying';
  due: number;
  minutes: number | undefined;
}

export interface CardModel {
  id: string;
  order: BoardOrder;
  column: ColumnName;
  pending: Pending | undefined;
  /**
   * Time since which the order has its status. The API states only the time of the latest event, which may be a later one,
   * such as the assignment of a courier, so the first version of this status that the board got decides.
   */
  since: string;
}

export type Columns = Record<ColumnName, CardModel[]>;

export const NO_COLUMNS: Columns = { new: [], preparing: [], ready: [], out: [] };

/** Numbers of orders by their column. */
export type Counts = Record<ColumnName, number>;

export const NO_COUNTS: Counts = { new: 0, preparing: 0, ready: 0, out: 0 };

/** Returns the column of a status; `undefined` if orders of this status are not on the board. */
export function columnOf(status: string): ColumnName | undefined {
  return COLUMN_OF[status];
}

/** Number of attempts after which a command counts as waiting for the network. */
export const RETRYING = 2;

/** Returns the commands on their way by their order. A refused command is not on its way. */
export function pendingByOrder(entries: readonly Entry[]): Map<string, Pending> {
  const pending = new Map<string, Pending>();
  for (const entry of entries) {
    const subject = subjectOf(entry);
    if (entry.state === 'refused' || subject?.order === undefined || pending.has(subject.order)) continue;
    const sent = entry.state === 'sending' || entry.attempts > 0;
    pending.set(subject.order, {
      kind: subject.kind as OrderCommandKind,
      key: entry.key,
      stage: !sent ? 'undoable' : entry.attempts >= RETRYING ? 'retrying' : 'sending',
      due: entry.due,
      minutes: subject.minutes,
    });
  }
  return pending;
}

function rank(order: BoardOrder): number {
  return targetOf(order) ?? Date.parse(order.placed_at);
}

/** Sorts by deadline or promised time, which never changes while an order is in a column: cards do not jump. */
function compare(a: CardModel, b: CardModel): number {
  return rank(a.order) - rank(b.order) || (a.id < b.id ? -1 : 1);
}

/** Builds the columns. A card whose order and command did not change stays the same object. */
export class ColumnBuilder {
  #cards = new Map<string, CardModel>();

  build(orders: readonly BoardOrder[], pending: ReadonlyMap<string, Pending>, search: string): Columns {
    const columns: Columns = { new: [], preparing: [], ready: [], out: [] };
    const cards = new Map<string, CardModel>();
    for (const order of orders) {
      const column = columnOf(order.status);
      if (column === undefined) continue;
      const card = this.#card(order, column, pending.get(order.id));
      cards.set(order.id, card);
      // A search must not hide an order that nobody has answered.
      if (column === 'new' || matchesSearch(order, search)) columns[column].push(card);
    }
    this.#cards = cards;
    for (const name of COLUMNS) columns[name].sort(compare);
    const missed = (card: CardModel) => Number(!matchesSearch(card.order, search));
    if (search.trim() !== '') columns.new.sort((a, b) => missed(a) - missed(b) || compare(a, b));
    return columns;
  }

  #card(order: BoardOrder, column: ColumnName, pending: Pending | undefined): CardModel {
    const known = this.#cards.get(order.id);
    if (known !== undefined && known.order === order && samePending(known.pending, pending)) return known;
    const since = known?.order.status === order.status ? known.since : order.updated_at;
    return { id: order.id, order, column, pending, since };
  }
}

function samePending(a: Pending | undefined, b: Pending | undefined): boolean {
  return a?.key === b?.key && a?.stage === b?.stage;
}

/** Whether an order matches a search: part of its display code, or of the customer's name. */
export function matchesSearch(order: BoardOrder, search: string): boolean {
  const text = search.trim();
  if (text === '') return true;
  const code = normalizeCode(text);
  if (code !== '' && order.display_code.includes(code)) return true;
  return order.contact?.name.toLocaleLowerCase().includes(text.toLocaleLowerCase()) ?? false;
}

/** Counts the orders that match a search, by their column. */
export function countOrders(orders: readonly BoardOrder[], search: string): Counts {
  const counts = { ...NO_COUNTS };
  for (const order of orders) {
    const column = columnOf(order.status);
    if (column !== undefined && matchesSearch(order, search)) counts[column] += 1;
  }
  return counts;
}

/** Returns what a column's head shows: its number of orders, and while a search is on, how many of them match. */
export function countText(found: number, count: number, searching: boolean): string {
  // The isolate keeps the order of the two numbers in right-to-left text.
  return searching ? `\u2066${number(found)}/${number(count)}\u2069` : number(count);
}

/** Returns the new orders that nobody has answered and that this device may accept, the most urgent first. */
export function unanswered(columns: Columns): BoardOrder[] {
  return columns.new
    .filter(({ order, pending }) => pending === undefined && allows(order, 'accept'))
    .sort(compare)
    .map(({ order }) => order);
}

/** Whether the item of a line was switched off while the order still has to be cooked. */
export function isOff(items: ReadonlyMap<string, BoardItem>, order: Pick<BoardOrder, 'status'>, line: Pick<OrderLine, 'item'>): boolean {
  return (order.status === 'confirmed' || order.status === 'preparing') && items.get(line.item)?.available === false;
}

/** Height of a full card of a new order, and width of the smallest one, in pixels. */
const CARD = { height: 320, width: 236 };

/** Returns about how many full cards fit into a column of a screen. On a narrow screen, the column has all of its width. */
export function fitting(column: ColumnName, width: number, height: number): number {
  const share = width <= 992 ? 1 : column === 'new' || column === 'preparing' ? 0.29 : 0.2;
  const fit = (length: number, card: number) => Math.max(1, Math.floor(length / card));
  return fit(height, CARD.height) * fit(width * share, CARD.width);
}

/** Whether a column has so many orders that its cards are compact. `was`: a change back needs fewer, so that it is rare. */
export function isDense(was: boolean, count: number, fit: number): boolean {
  return count > (was ? fit : fit + 1);
}

/** Maximum number of names in a bar. */
const NAMES = 6;

/** Returns names as a bar lists them: the first ones, and the number of the others. */
export function shortList(names: readonly string[]): string {
  const rest = names.length - NAMES;
  return [...names.slice(0, NAMES), ...rest > 0 ? [`+${number(rest)}`] : []].join(', ');
}

/** Sorts orders that ended by the time that a list of them shows. The API sorts them by the time of placing. */
export function newestEndFirst(orders: readonly Order[]): Order[] {
  return [...orders].sort((a, b) => Date.parse(b.updated_at) - Date.parse(a.updated_at) || (a.id < b.id ? 1 : -1));
}
