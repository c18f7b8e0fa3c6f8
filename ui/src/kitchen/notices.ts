// Notices to the kitchen about orders that left the board because a person cancelled them or because they expired, and about
// those of which nobody knows why they left. The tabs of a browser share them.
import type { Entry } from '../lib/outbox';
import { subjectOf } from './commands';
import type { BoardOrder, Closure } from './types';

/** Maximum number of notices; the oldest makes room. */
export const MAXIMUM_NOTICES = 20;

/** Time for which a notice is shown that the kitchen need not act on, in milliseconds. */
export const LINGER = 120_000;

export interface Notice {
  /** Id of the order, or of a notice about several. */
  id: string;
  /** Display code of the order, or of the first ones. */
  code: string;
  /** `unknown`: the orders left while the board was not connected, and the server did not say why. */
  kind: 'cancelled' | 'expired' | 'payment_failed' | 'rejected' | 'unknown';
  /** Number of orders, if the notice is about several. */
  count?: number;
  /** Role of the actor that cancelled the order. */
  by: string | undefined;
  reason: string | undefined;
  /** Whether the kitchen had begun. */
  begun: boolean;
  /** The server's time of the notice, in milliseconds. */
  at: number;
}

const ENDED = ['cancelled', 'refunded'];

/** Returns the notice about an order; `undefined` if the order left as expected. `own`: this device ended the order. */
export function noticeOf(
  order: BoardOrder,
  left: { status: string; closure?: Closure },
  own: boolean,
  at: number,
): Notice | undefined {
  const begun = order.status !== 'confirmed';
  if (own || !ENDED.includes(left.status)) return undefined;
  const { closure } = left;
  // A delivered order that was refunded has no closure. An order that a colleague rejects needs no notice.
  if (closure === undefined || (closure.how === 'rejected' && !begun)) return undefined;
  const kind = KINDS.find((known) => known === closure.how) ?? 'cancelled';
  const by = 'by' in closure && typeof closure.by === 'object' ? closure.by.role : undefined;
  const reason = 'reason' in closure && typeof closure.reason === 'string' ? closure.reason : undefined;
  return { id: order.id, code: order.display_code, kind, by, reason, begun, at };
}

/** Maximum number of codes in a notice about several orders. */
const CODES = 6;

/** Returns the notice about orders of which nobody knows why they left; `undefined` without an order. */
export function unknownEnds(orders: readonly BoardOrder[], at: number): Notice | undefined {
  const [first] = orders;
  if (first === undefined) return undefined;
  const codes = orders.slice(0, CODES).map((order) => order.display_code);
  const code = `${codes.join(', ')}${orders.length > CODES ? ' …' : ''}`;
  return { id: `unknown-${first.id}`, code, kind: 'unknown', count: orders.length, by: undefined, reason: undefined, begun: false, at };
}

/** What another tab has to change. */
export type NoticeChange = { add: Notice } | { dismiss: readonly string[] };

/** Applies the change of a tab. */
export function changeNotices(notices: readonly Notice[], change: NoticeChange): Notice[] {
  if ('add' in change) return addNotice(notices, change.add);
  return notices.filter((notice) => !change.dismiss.includes(notice.id));
}

const KINDS = ['cancelled', 'expired', 'payment_failed', 'rejected'] as const;

/** Adds a notice; an order has at most one. */
export function addNotice(notices: readonly Notice[], notice: Notice): Notice[] {
  return [...notices.filter((other) => other.id !== notice.id), notice].slice(-MAXIMUM_NOTICES);
}

/** Whether a notice is still to be shown: until it is dismissed if the kitchen must stop, else for a time. */
export function isCurrent(notice: Notice, now: number): boolean {
  return notice.begun || now - notice.at < LINGER;
}

/** Leaves one bar per order out of the notices and the refused commands. */
export function oneBarPerOrder(notices: readonly Notice[], refusals: readonly Entry[]): { notices: Notice[]; refusals: Entry[] } {
  // A kitchen that must stop reads that first. A refused end needs no word if the order has ended.
  const stands = ({ subject }: Entry) => {
    const of = subjectOf({ subject });
    const notice = notices.find(({ id }) => id === of?.order);
    return notice !== undefined && (notice.begun || of?.kind === 'reject' || of?.kind === 'cancel');
  };
  const left = refusals.filter((entry) => !stands(entry));
  const refused = new Set(left.map((entry) => subjectOf(entry)?.order));
  return { notices: notices.filter(({ id }) => !refused.has(id)), refusals: left };
}
