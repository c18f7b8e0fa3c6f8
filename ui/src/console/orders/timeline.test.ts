import { describe, expect, it } from 'vitest';
import { actorOf, detailsOf, placeOf } from './timeline';

describe('an event', () => {
  it('shows the members that it has, in a fixed order', () => {
    const event = { type: 'refunded', data: { note: '<b>Cold</b>', reason: 'quality', amount: 500, number: 1 } };
    expect(detailsOf(event)).toEqual([
      { name: 'number', kind: 'number', value: 1 },
      { name: 'amount', kind: 'amount', value: 500, currency: undefined },
      { name: 'reason', kind: 'word', value: 'quality' },
      { name: 'note', kind: 'text', value: '<b>Cold</b>' },
    ]);
  });

  it('shows an amount of the provider in its currency', () => {
    const event = { type: 'payment_differs', data: { step: 'captured', money: { amount: 90, currency: 'EUR' } } };
    expect(detailsOf(event)).toEqual([
      { name: 'step', kind: 'word', value: 'captured' },
      { name: 'amount', kind: 'amount', value: 90, currency: 'EUR' },
    ]);
  });

  it.each([[{}], [{ data: null }], [{ data: 'text' }], [{ data: { amount: 'five', reason: 7, money: {} } }]])(
    'of a later version shows nothing that it does not have: %j',
    (event) => {
      expect(detailsOf(event)).toEqual([]);
      expect(actorOf(event)).toEqual({ role: 'unknown', account: undefined });
      expect(placeOf(event)).toEqual({ version: undefined, at: undefined });
    },
  );

  it('names who caused it', () => {
    expect(actorOf({ actor: { role: 'admin', account_id: 'a1' } })).toEqual({ role: 'admin', account: 'a1' });
    expect(actorOf({ actor: { role: 'system' } })).toEqual({ role: 'system', account: undefined });
  });
});
