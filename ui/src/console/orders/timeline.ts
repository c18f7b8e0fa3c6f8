// What an event says, as names and values. Members that this build does not know stay visible in the raw JSON.
import type { Body } from '../../lib/api';

export type OrderEvent = Body<'OrderEvent'>;

export type Detail =
  | { name: string; kind: 'text' | 'word' | 'account'; value: string }
  | { name: string; kind: 'time'; value: string }
  | { name: string; kind: 'amount'; value: number; currency: string | undefined }
  | { name: string; kind: 'number'; value: number };

/** Members that are shown, in this order, and how. */
const MEMBERS: Record<string, Detail['kind']> = {
  number: 'number',
  amount: 'amount',
  reason: 'word',
  borne_by: 'word',
  waited_for: 'word',
  step: 'word',
  preparation_minutes: 'number',
  ready_by: 'time',
  acceptance_deadline: 'time',
  payment_deadline: 'time',
  payment_method: 'word',
  courier_id: 'account',
  reference: 'text',
  note: 'text',
};

function detailOf(name: string, kind: Detail['kind'], value: unknown): Detail | undefined {
  if (kind === 'amount' || kind === 'number') {
    if (typeof value !== 'number') return undefined;
    return kind === 'amount' ? { name, kind, value, currency: undefined } : { name, kind, value };
  }
  return typeof value === 'string' ? { name, kind, value } : undefined;
}

/** Returns what the timeline shows of an event's data. */
export function detailsOf(event: object): Detail[] {
  const data: unknown = 'data' in event ? event.data : undefined;
  if (typeof data !== 'object' || data === null) return [];
  const members = data as Record<string, unknown>;
  const details = Object.entries(MEMBERS)
    .map(([name, kind]) => detailOf(name, kind, members[name]))
    .filter((detail) => detail !== undefined);
  // An amount of the provider has a currency of its own.
  const money = members['money'] as { amount?: unknown; currency?: unknown } | undefined;
  if (typeof money?.amount === 'number' && typeof money.currency === 'string') {
    details.push({ name: 'amount', kind: 'amount', value: money.amount, currency: money.currency });
  }
  return details;
}

export interface Who {
  role: string;
  account: string | undefined;
}

/** Returns who caused an event. */
export function actorOf(event: object): Who {
  const actor: unknown = 'actor' in event ? event.actor : undefined;
  if (typeof actor !== 'object' || actor === null) return { role: 'unknown', account: undefined };
  const { role, account_id: account } = actor as { role?: unknown; account_id?: unknown };
  return {
    role: typeof role === 'string' ? role : 'unknown',
    account: typeof account === 'string' ? account : undefined,
  };
}

/** Version and time of an event; an event of a later version may lack them. */
export function placeOf(event: object): { version: number | undefined; at: string | undefined } {
  const { version, at } = event as { version?: unknown; at?: unknown };
  return {
    version: typeof version === 'number' ? version : undefined,
    at: typeof at === 'string' ? at : undefined,
  };
}
