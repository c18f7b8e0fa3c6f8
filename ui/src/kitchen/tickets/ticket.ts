// What a ticket says. Tickets are for the kitchen and the bag, so they show no payment reference and no account.
import { billOf, type Bill } from '../../lib/bill';
import type { BoardOrder, OrderLine } from '../types';

export interface TicketLine {
  quantity: number;
  name: string;
  options: string[];
  note: string | undefined;
}

export interface Ticket {
  id: string;
  code: string;
  collection: boolean;
  placedAt: string;
  readyBy: string | undefined;
  customer: string | undefined;
  phone: string | undefined;
  address: string[];
  instructions: string | undefined;
  lines: TicketLine[];
  pieces: number;
  note: string | undefined;
  currency: string;
  /** What the order costs. Without rows, the caller may not see the amounts. */
  bill: Bill;
  payment: PaymentState;
  /** Status of an order that ended without being sold: nobody must cook it or hand it over. */
  ended: string | undefined;
}

/**
 * - `cash`: the total is to be collected in cash.
 * - `paid`: the customer has paid.
 * - `reserved`: the payment by card is authorized and not captured.
 * - `none`: nobody has paid, or the money went back.
 */
export type PaymentState = 'cash' | 'paid' | 'reserved' | 'none';

const ENDED = ['cancelled', 'refunded'];
const UNPAID = ['pending', 'authorized'];
const PAID = ['captured', 'partially_refunded'];

/** Returns what the kitchen may say of an order's payment. */
export function paymentOf({ status, closure, payment }: Pick<BoardOrder, 'status' | 'closure' | 'payment'>): PaymentState {
  if (closure !== undefined || ENDED.includes(status)) return 'none';
  if (PAID.includes(payment.status)) return 'paid';
  if (payment.method === 'cash') return UNPAID.includes(payment.status) ? 'cash' : 'none';
  return payment.status === 'authorized' ? 'reserved' : 'none';
}

/** Returns the amount that is to be collected in cash; `undefined` if nothing is. */
export function toCollect(order: BoardOrder): number | undefined {
  return paymentOf(order) === 'cash' ? order.amounts?.total : undefined;
}

function lineOf(line: OrderLine): TicketLine {
  const options = (line.options ?? []).map(({ name, quantity = 1 }) => (quantity > 1 ? `${quantity} × ${name}` : name));
  return { quantity: line.quantity, name: line.name, options, note: line.note };
}

export function addressOf(order: BoardOrder): string[] {
  if (order.fulfilment.type !== 'delivery' || order.fulfilment.address === undefined) return [];
  const { line1, line2, postal_code, city } = order.fulfilment.address;
  const town = [postal_code, city].filter((part) => part !== undefined).join(' ');
  return [line1, line2, town].filter((part) => part !== undefined && part !== '') as string[];
}

/** Number of pieces of an order. */
export function piecesOf(order: BoardOrder): number {
  return order.lines.reduce((sum, line) => sum + line.quantity, 0);
}

export function ticketOf(order: BoardOrder): Ticket {
  return {
    id: order.id,
    code: order.display_code,
    collection: order.fulfilment.type === 'collection',
    placedAt: order.placed_at,
    readyBy: order.ready_by,
    customer: order.contact?.name,
    phone: order.contact?.phone,
    address: addressOf(order),
    instructions: order.fulfilment.type === 'delivery' ? order.fulfilment.address?.instructions : undefined,
    lines: order.lines.map(lineOf),
    pieces: piecesOf(order),
    note: order.note,
    currency: order.currency,
    bill: billOf(order),
    payment: paymentOf(order),
    ended: ENDED.includes(order.status) ? order.status : undefined,
  };
}

/** Returns the print rule for a paper width and the height of a ticket: a roll has no pages. */
export function pageRule(width: string, heightPixels: number): string {
  // CSS pixels are 96 per inch. A little more than the content keeps the browser from beginning a second page.
  const height = Math.max(40, Math.ceil((heightPixels * 25.4) / 96) + 4);
  return `@page { size: ${width}mm ${height}mm; margin: 0; }`;
}
