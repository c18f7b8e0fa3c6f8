// The commands that the console offers: their forms, and the bodies that the forms make.
import type { Body, Order } from '../../lib/api';
import { asciiDigits } from '../../lib/digits';
import { minorDigits } from '../../lib/format';
import { membersOf } from '../members';

export type Command = 'cancel' | 'refund' | 'assign_courier' | 'deliver';

/** Commands in the order in which they are offered. */
const COMMANDS = membersOf<Command>({
  deliver: true,
  assign_courier: true,
  refund: true,
  cancel: true,
});

/** Returns the commands that the caller may give, as far as the console has a form for them. */
export function offered(order: Pick<Order, 'allowed_actions'>): Command[] {
  return COMMANDS.filter((command) => order.allowed_actions.some((action) => action.command === command));
}

/** Returns what a command is called for an order: an assigned courier is changed. */
export function wordOf(command: Command, order: Pick<Order, 'courier_id'>): Command | 'change_courier' {
  return command === 'assign_courier' && order.courier_id !== undefined ? 'change_courier' : command;
}

export const CANCEL_REASONS = membersOf<Body<'CancelReason'>>({
  changed_mind: true,
  duplicate: true,
  wrong_address: true,
  too_slow: true,
  item_unavailable: true,
  kitchen_closed: true,
  no_courier: true,
  customer_unreachable: true,
  suspected_fraud: true,
  other: true,
});

export const REFUND_REASONS = membersOf<Body<'RefundReason'>>({
  missing_item: true,
  wrong_item: true,
  quality: true,
  late: true,
  not_delivered: true,
  order_ended: true,
  other: true,
});

export const INTERVENTION_REASONS = membersOf<Body<'InterventionReason'>>({
  courier_unreachable: true,
  courier_unable: true,
  customer_confirmed: true,
  other: true,
});

export const BEARERS = membersOf<Body<'RefundBearer'>>({
  restaurant: true,
  platform: true,
  everyone: true,
});

/** The reasons of a command for an order. */
export function reasonsOf(command: Command, order: Pick<Order, 'closure' | 'status'>): readonly string[] {
  if (command === 'cancel') return CANCEL_REASONS;
  // `order_ended` is for orders that ended early only.
  if (command === 'refund') {
    return REFUND_REASONS.filter((reason) => reason !== 'order_ended' || order.closure !== undefined);
  }
  return INTERVENTION_REASONS;
}

/** Everything that a person may enter; a command uses its part. */
export interface Form {
  reason: string;
  note: string;
  /** Items that are unavailable, by their id. */
  items: string[];
  scope: 'all' | 'lines' | 'amount';
  /** Quantity to refund of each line, by its place. */
  quantities: Record<number, number>;
  amount: string;
  /** Empty: as the server decides. */
  bearer: string;
  courier: string;
}

export const EMPTY_FORM: Form = {
  reason: '',
  note: '',
  items: [],
  scope: 'all',
  quantities: {},
  amount: '',
  bearer: '',
  courier: '',
};

export type Missing = 'reason' | 'items' | 'lines' | 'amount' | 'courier';

/** Returns a typed amount as minor units; `undefined` if it is none. A point or a comma separates the digits. */
export function parseAmount(text: string, currency: string): number | undefined {
  const digits = minorDigits(currency);
  const match = /^(\d{1,12})(?:[.,٫](\d*))?$/.exec(asciiDigits(text.trim()));
  if (match === null) return undefined;
  const fraction = match[2] ?? '';
  if (fraction.length > digits) return undefined;
  const amount = Number(`${match[1]}${fraction.padEnd(digits, '0')}`);
  return amount > 0 ? amount : undefined;
}

function chosenLines(form: Form): { line: number; quantity: number }[] {
  return Object.entries(form.quantities)
    .map(([line, quantity]) => ({ line: Number(line), quantity }))
    .filter(({ quantity }) => quantity > 0);
}

/** Returns what a form still lacks. */
export function missing(command: Command, form: Form, order: Pick<Order, 'currency' | 'status'>): Missing | undefined {
  if (command === 'assign_courier' && form.courier === '') return 'courier';
  // Before the pick-up an assignment needs no reason.
  const free = command === 'assign_courier' && order.status !== 'out_for_delivery';
  if (form.reason === '' && !free) return 'reason';
  if (command === 'cancel' && form.reason === 'item_unavailable' && form.items.length === 0) return 'items';
  if (command !== 'refund') return undefined;
  if (form.scope === 'lines' && chosenLines(form).length === 0) return 'lines';
  return form.scope === 'amount' && parseAmount(form.amount, order.currency) === undefined ? 'amount' : undefined;
}

/** Returns the body of a complete form. */
export function bodyOf(command: Command, form: Form, order: Pick<Order, 'currency'>): Record<string, unknown> {
  const note = form.note.trim();
  const body: Record<string, unknown> = {
    ...(form.reason === '' ? {} : { reason: form.reason }),
    ...(note === '' ? {} : { note }),
  };
  if (command === 'cancel' && form.reason === 'item_unavailable') body['items'] = form.items.map((item) => ({ item }));
  if (command === 'assign_courier') body['courier_id'] = form.courier;
  if (command === 'refund') {
    if (form.scope === 'lines') body['lines'] = chosenLines(form);
    if (form.scope === 'amount') body['amount'] = parseAmount(form.amount, order.currency);
    if (form.bearer !== '') body['borne_by'] = form.bearer;
  }
  return body;
}
