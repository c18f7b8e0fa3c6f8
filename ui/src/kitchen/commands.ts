// The commands of the board: their requests for the outbox, their time to undo, and what a refusal means.
import { UNDO_DELAY, type Command, type Entry } from '../lib/outbox';
import { targetOf } from './countdown';
import type { BoardOrder } from './types';

export type OrderCommandKind = 'accept' | 'reject' | 'ready' | 'deliver' | 'cancel';
export type CommandKind = OrderCommandKind | 'pause' | 'resume' | 'availability' | 'stock' | 'adjust';

/** What the board shows of a command in the outbox. */
export interface Subject {
  kind: CommandKind;
  restaurant: string;
  /** Id and display code of the order. */
  order?: string;
  code?: string;
  /** Name of the item. */
  item?: string;
  minutes?: number;
}

export const REJECT_REASONS = ['item_unavailable', 'too_busy', 'closing_soon', 'cannot_deliver', 'other'] as const;
export const CANCEL_REASONS = [
  'item_unavailable',
  'kitchen_closed',
  'no_courier',
  'customer_unreachable',
  'duplicate',
  'wrong_address',
  'suspected_fraud',
  'other',
] as const;
export type EndReason = (typeof REJECT_REASONS)[number] | (typeof CANCEL_REASONS)[number];

export interface UnavailableItem {
  item: string;
  until?: string;
}

export interface End {
  reason: EndReason;
  note?: string;
  items?: UnavailableItem[];
}

/** Time that the server and the network need; a command without it is not delayed, in milliseconds. */
export const DEADLINE_MARGIN = 10_000;

/** Returns what an entry of the outbox is about; `undefined` for an entry of another page. */
export function subjectOf(entry: Pick<Entry, 'subject'>): Subject | undefined {
  const { subject } = entry;
  if (typeof subject !== 'object' || subject === null || !('kind' in subject) || !('restaurant' in subject)) {
    return undefined;
  }
  return subject as Subject;
}

function ofOrder(order: BoardOrder, kind: OrderCommandKind, body: unknown, more: Partial<Subject> = {}): Command {
  const command: Command = {
    group: order.id,
    method: 'POST',
    path: `/v1/orders/${encodeURIComponent(order.id)}/${kind}`,
    subject: { kind, restaurant: order.restaurant_id, order: order.id, code: order.display_code, ...more },
  };
  if (body !== undefined) command.body = body;
  return command;
}

export function accept(order: BoardOrder, minutes: number): Command {
  return ofOrder(order, 'accept', { preparation_minutes: minutes }, { minutes });
}

export function ready(order: BoardOrder): Command {
  return ofOrder(order, 'ready', undefined);
}

/** The customer has collected the order. */
export function handOver(order: BoardOrder): Command {
  return ofOrder(order, 'deliver', {});
}

/** Rejects an order that is not accepted, and cancels one that is. */
export function end(order: BoardOrder, how: End): Command {
  return ofOrder(order, order.status === 'confirmed' ? 'reject' : 'cancel', how);
}

/** `part` names what the command changes of the restaurant, and defaults to all of it. */
function ofRestaurant(restaurant: string, kind: CommandKind, path: string, body: unknown, item?: string, part = path): Command {
  const subject: Subject = { kind, restaurant };
  if (item !== undefined) subject.item = item;
  const method = kind === 'availability' || kind === 'stock' ? 'PUT' : 'POST';
  const command: Command = {
    group: `${restaurant}${item === undefined ? '' : `/${part}`}`,
    method,
    path: `/v1/restaurants/${encodeURIComponent(restaurant)}/${path}`,
    subject,
  };
  if (body !== undefined) command.body = body;
  return command;
}

/** Pauses the restaurant until a time, or until it is resumed. */
export function pause(restaurant: string, until: string | undefined): Command {
  return ofRestaurant(restaurant, 'pause', 'pause', until === undefined ? {} : { until });
}

export function resume(restaurant: string): Command {
  return ofRestaurant(restaurant, 'resume', 'resume', undefined);
}

interface Item {
  item: string;
  name: string;
}

/** Makes an item available, or unavailable: until a time, or until it is made available. */
export function setAvailability(restaurant: string, item: Item, how: 'available' | { until?: string }): Command {
  const body = how === 'available' ? { status: 'available' } : { status: 'unavailable', ...how };
  const path = `menu/items/${encodeURIComponent(item.item)}/availability`;
  return ofRestaurant(restaurant, 'availability', path, body, item.name);
}

function stockOf(item: Item): string {
  return `menu/items/${encodeURIComponent(item.item)}/stock`;
}

/** Limits an item's stock to a number; `undefined` removes the limit. */
export function setStock(restaurant: string, item: Item, remaining: number | undefined): Command {
  return ofRestaurant(restaurant, 'stock', stockOf(item), { remaining: remaining ?? null }, item.name);
}

/** Changes an item's stock by a number, without overwriting sales at the same time. It waits for an earlier limit. */
export function adjustStock(restaurant: string, item: Item, by: number): Command {
  const stock = stockOf(item);
  return ofRestaurant(restaurant, 'adjust', `${stock}/adjust`, { by }, item.name, stock);
}

/**
 * Returns the time for which the outbox keeps a command back, so that it can be undone. Every command of an order is
 * final on the server. An order that would expire meanwhile is accepted at once.
 */
export function undoDelay(kind: CommandKind, order: BoardOrder | undefined, now: number): number {
  if (order === undefined || !['accept', 'reject', 'ready', 'deliver', 'cancel'].includes(kind)) return 0;
  const deadline = order.status === 'confirmed' ? targetOf(order) : undefined;
  if (deadline !== undefined && deadline - now < UNDO_DELAY + DEADLINE_MARGIN) return 0;
  return UNDO_DELAY;
}

const ACCEPTED = ['preparing', 'ready_for_pickup', 'out_for_delivery', 'delivered'];
const READY = ['ready_for_pickup', 'out_for_delivery', 'delivered'];

/**
 * - `elsewhere`: another device did the same before, so nothing is wrong.
 * - `refused`: what the user wanted did not happen.
 */
export type Refusal = 'elsewhere' | 'refused';

/** Returns what the refusal of a command means, by its code and the order's present status. */
export function refusalOf(kind: CommandKind, code: string, status: string | undefined): Refusal {
  if (kind === 'accept' && code === 'already_accepted') return 'elsewhere';
  if (kind === 'reject' && code === 'already_rejected') return 'elsewhere';
  if (kind === 'cancel' && code === 'already_cancelled') return 'elsewhere';
  if (code !== 'illegal_move' || status === undefined) return 'refused';
  if (kind === 'accept' && ACCEPTED.includes(status)) return 'elsewhere';
  if (kind === 'ready' && READY.includes(status)) return 'elsewhere';
  if (kind === 'deliver' && status === 'delivered') return 'elsewhere';
  return 'refused';
}

/** Whether the caller may give a command now, by the order itself. */
export function allows(order: BoardOrder, command: string): boolean {
  return order.allowed_actions.some((action) => action.command === command);
}

/** Whether the caller may give the command that `end` makes. An admin may cancel an order, but not reject it. */
export function mayEnd(order: BoardOrder): boolean {
  return allows(order, order.status === 'confirmed' ? 'reject' : 'cancel');
}

/** Limits of the time until the food is ready, and the step of the stepper, in minutes. */
export const MINUTES = { minimum: 5, maximum: 180, step: 5, initial: 20 } as const;
/** Number of choices that the suggestion considers. */
export const CHOICES = 9;

/** Suggests a time until the food is ready: the median of the last choices on this device, in steps. */
export function suggestMinutes(choices: readonly number[]): number {
  if (choices.length === 0) return MINUTES.initial;
  const sorted = choices.slice(-CHOICES).sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? MINUTES.initial;
  const stepped = Math.round(median / MINUTES.step) * MINUTES.step;
  return Math.min(MINUTES.maximum, Math.max(MINUTES.minimum, stepped));
}
