// What the customer fills in, and the body of the order that it becomes.
import type { ApiError } from '../lib/api';
import { toLines, type Cart } from './cart';
import type { FulfilmentKind, OrderRequest } from './types';

/** `card` pays with a demo card; its token decides what the simulated payment provider does. */
export type PaymentChoice = 'cash' | 'card_works' | 'card_declined';

const TOKENS: Record<Exclude<PaymentChoice, 'cash'>, string> = {
  card_works: 'tok_succeed',
  card_declined: 'tok_decline',
};

export interface Details {
  fulfilment: FulfilmentKind;
  name: string;
  phone: string;
  line1: string;
  line2: string;
  postalCode: string;
  city: string;
  instructions: string;
  note: string;
  payment: PaymentChoice;
}

export type DetailsField = keyof Details;

export const EMPTY_DETAILS: Details = {
  fulfilment: 'delivery',
  name: '',
  phone: '',
  line1: '',
  line2: '',
  postalCode: '',
  city: '',
  instructions: '',
  note: '',
  payment: 'cash',
};

/** The place of each field in the body: the server's problems name fields by these JSON Pointers. */
export const POINTERS: Partial<Record<DetailsField, string>> = {
  name: '/contact/name',
  phone: '/contact/phone',
  line1: '/fulfilment/address/line1',
  line2: '/fulfilment/address/line2',
  postalCode: '/fulfilment/address/postal_code',
  city: '/fulfilment/address/city',
  instructions: '/fulfilment/address/instructions',
  note: '/note',
};

/** Returns the fields that must not be empty. All other rules are the server's. */
export function missingFields(details: Details): DetailsField[] {
  const required: DetailsField[] = details.fulfilment === 'delivery' ? ['name', 'line1', 'city'] : ['name'];
  return required.filter((field) => details[field].trim() === '');
}

/** The fields in which a person writes. */
export const TEXT_FIELDS = Object.keys(POINTERS) as Exclude<DetailsField, 'fulfilment' | 'payment'>[];

export type FieldErrors = Partial<Record<DetailsField, string>>;

/** Returns the server's problems by field. */
export function fieldErrors(error: ApiError): FieldErrors {
  const errors: FieldErrors = {};
  for (const [field, pointer] of Object.entries(POINTERS) as [DetailsField, string][]) {
    const detail = error.at(pointer);
    if (detail !== undefined) errors[field] = detail;
  }
  return errors;
}

/** Whether the server found a problem that belongs to no field of the form. */
export function hasOtherErrors(error: ApiError): boolean {
  const known = new Set(Object.values(POINTERS));
  return error.errors.length === 0 || error.errors.some((problem) => !known.has(problem.pointer ?? ''));
}

/** Returns `{ key: text }`, or nothing if the text is empty: the API omits fields without a value. */
function filled<Key extends string>(key: Key, text: string): Partial<Record<Key, string>> {
  const value = text.trim();
  return value === '' ? {} : ({ [key]: value } as Record<Key, string>);
}

/** Returns the body of the order. `total` is what the customer saw: at another price the server asks again. */
export function toRequest(cart: Cart, details: Details, total: number): OrderRequest {
  const card = details.payment === 'cash' ? undefined : TOKENS[details.payment];
  return {
    lines: toLines(cart),
    fulfilment: details.fulfilment === 'collection' ? { type: 'collection' } : { type: 'delivery', address: addressOf(details) },
    contact: { name: details.name.trim(), ...filled('phone', details.phone) },
    ...filled('note', details.note),
    payment_method: card === undefined ? 'cash' : 'card',
    ...(card !== undefined && { payment_token: card }),
    expected_total: total,
  };
}

function addressOf(details: Details) {
  return {
    line1: details.line1.trim(),
    ...filled('line2', details.line2),
    ...filled('postal_code', details.postalCode),
    city: details.city.trim(),
    ...filled('instructions', details.instructions),
  };
}

/** Reads details that the browser kept for this tab. Unknown or missing fields get their default. */
export function parseDetails(text: string | null): Details {
  let data: unknown;
  try {
    data = JSON.parse(text ?? '{}');
  } catch {
    data = {};
  }
  const kept = (typeof data === 'object' && data !== null ? data : {}) as Partial<Record<DetailsField, unknown>>;
  const details = { ...EMPTY_DETAILS };
  for (const field of TEXT_FIELDS) {
    const value = kept[field];
    if (typeof value === 'string') details[field] = value;
  }
  if (kept.fulfilment === 'collection') details.fulfilment = 'collection';
  return details;
}
