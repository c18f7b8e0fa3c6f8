import { describe, expect, it } from 'vitest';
import { ApiError } from '../lib/api/error';
import { add } from './cart';
import { EMPTY_DETAILS, fieldErrors, hasOtherErrors, missingFields, parseDetails, toRequest } from './details';

const details = { ...EMPTY_DETAILS, name: ' Asha ', line1: '14 Redchurch Street', city: 'London' };
const cart = add([], { item: 'rice', options: [], note: '' }, 1);

function refusal(...pointers: (string | undefined)[]): ApiError {
  const errors = pointers.map((pointer) => ({ detail: `wrong ${pointer}`, ...(pointer !== undefined && { pointer }) }));
  return new ApiError(422, { code: 'invalid', errors });
}

describe('the body of an order', () => {
  it('contains what the customer saw and filled in, and no empty members', () => {
    expect(toRequest(cart, details, 1499)).toEqual({
      lines: [{ item: 'rice', quantity: 1 }],
      fulfilment: { type: 'delivery', address: { line1: '14 Redchurch Street', city: 'London' } },
      contact: { name: 'Asha' },
      payment_method: 'cash',
      expected_total: 1499,
    });
  });

  it('contains no address of a collection', () => {
    expect(toRequest(cart, { ...details, fulfilment: 'collection' }, 1).fulfilment).toEqual({ type: 'collection' });
  });

  it('pays with the token of the chosen demo card', () => {
    expect(toRequest(cart, { ...details, payment: 'card_works' }, 1)).toMatchObject({
      payment_method: 'card',
      payment_token: 'tok_succeed',
    });
    expect(toRequest(cart, { ...details, payment: 'card_declined' }, 1).payment_token).toBe('tok_decline');
    expect(toRequest(cart, details, 1)).not.toHaveProperty('payment_token');
  });
});

describe('the fields', () => {
  it('that a delivery needs are not all needed by a collection', () => {
    expect(missingFields(EMPTY_DETAILS)).toEqual(['name', 'line1', 'city']);
    expect(missingFields({ ...EMPTY_DETAILS, fulfilment: 'collection' })).toEqual(['name']);
    expect(missingFields({ ...details, city: '  ' })).toEqual(['city']);
  });

  it('get the problems that the server found, by their JSON Pointers', () => {
    const error = refusal('/contact/phone', '/fulfilment/address/postal_code');
    expect(fieldErrors(error)).toEqual({ phone: 'wrong /contact/phone', postalCode: 'wrong /fulfilment/address/postal_code' });
    expect(hasOtherErrors(error)).toBe(false);
  });

  it('do not hide problems that belong to no field', () => {
    expect(hasOtherErrors(refusal('/contact/phone', '/lines/0/quantity'))).toBe(true);
    expect(hasOtherErrors(refusal(undefined))).toBe(true);
    expect(hasOtherErrors(new ApiError(409, { code: 'restaurant_closed' }))).toBe(true);
  });

  it('survive a reload, except for the payment', () => {
    const kept = JSON.stringify({ ...details, fulfilment: 'collection', payment: 'card_declined' });
    expect(parseDetails(kept)).toEqual({ ...details, fulfilment: 'collection', payment: 'cash' });
    expect(parseDetails('[]')).toEqual(EMPTY_DETAILS);
    expect(parseDetails('nonsense')).toEqual(EMPTY_DETAILS);
    expect(parseDetails('{"name": 3}')).toEqual(EMPTY_DETAILS);
  });
});
