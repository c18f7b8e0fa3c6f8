// Commands of the console in the outbox: their requests, and what became of them.
import { ApiError, type Order } from '../lib/api';
import type { Command as Request, Entry } from '../lib/outbox';
import type { Command } from './orders/commands';

/** What the console shows of a command in the outbox. */
export interface Subject {
  page: 'console';
  command: Command;
  /** Id and display code of the order. */
  order: string;
  code: string;
}

/** A command that was given and is not done. */
export interface Given {
  key: string;
  subject: Subject;
  attempts: number;
  /** Why the server refused it; absent while there is no answer. */
  refusal?: ApiError;
}

export type Outcome = { ok: true } | { ok: false; error: ApiError };

const OPERATIONS: Record<Command, string> = {
  cancel: 'cancel',
  refund: 'refund',
  assign_courier: 'assign',
  deliver: 'deliver',
};

/** Returns the request of a command at the version that the person saw: it has the effect that was shown, or is refused. */
export function requestOf(
  command: Command,
  order: Pick<Order, 'id' | 'version' | 'display_code'>,
  body: object,
): Request {
  const subject: Subject = { page: 'console', command, order: order.id, code: order.display_code };
  return {
    group: order.id,
    method: 'POST',
    path: `/v1/orders/${encodeURIComponent(order.id)}/${OPERATIONS[command]}`,
    headers: { 'If-Match': `"${order.version}"` },
    body,
    subject,
  };
}

function subjectOf(entry: Pick<Entry, 'subject'>): Subject | undefined {
  const { subject } = entry;
  if (typeof subject !== 'object' || subject === null || !('page' in subject) || subject.page !== 'console') {
    return undefined;
  }
  return subject as Subject;
}

/** Returns the console's commands in the outbox. An admin's kitchen board uses the same outbox for its own. */
export function givenOf(entries: readonly Entry[]): Given[] {
  return entries.flatMap((entry) => {
    const subject = subjectOf(entry);
    if (subject === undefined) return [];
    const { key, attempts, problem } = entry;
    if (entry.state !== 'refused') return [{ key, subject, attempts }];
    return [{ key, subject, attempts, refusal: new ApiError(problem?.status ?? 0, problem ?? {}) }];
  });
}

/**
 * Returns what became of the commands between two states of the outbox. A command leaves the outbox when it is done, or when
 * a person dismisses its refusal.
 */
export function settled(before: readonly Given[], after: readonly Given[]): { given: Given; outcome: Outcome }[] {
  const now = new Map(after.map((given) => [given.key, given]));
  return before.flatMap((given): { given: Given; outcome: Outcome }[] => {
    if (given.refusal !== undefined) return [];
    const next = now.get(given.key);
    if (next === undefined) return [{ given, outcome: { ok: true } }];
    return next.refusal === undefined ? [] : [{ given: next, outcome: { ok: false, error: next.refusal } }];
  });
}
