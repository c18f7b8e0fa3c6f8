import { describe, expect, it } from 'vitest';
import { bodyOf, EMPTY_FORM, missing, offered, parseAmount, reasonsOf, wordOf, type Form } from './commands';

const order = { currency: 'GBP', status: 'delivered' } as const;
const form = (changes: Partial<Form>): Form => ({ ...EMPTY_FORM, ...changes });

it('offers only commands that the caller may give and that have a form', () => {
  const actions = ['refund', 'cancel', 'accept', 'a command of a later version'].map((command) => ({ command }));
  expect(offered({ allowed_actions: actions })).toEqual(['refund', 'cancel']);
  expect(offered({ allowed_actions: [] })).toEqual([]);
});

it('an assigned courier is changed', () => {
  expect(wordOf('assign_courier', {})).toBe('assign_courier');
  expect(wordOf('assign_courier', { courier_id: 'c1' })).toBe('change_courier');
  expect(wordOf('cancel', { courier_id: 'c1' })).toBe('cancel');
});

describe('an amount', () => {
  it.each([
    ['12', 'GBP', 1200],
    ['12.3', 'GBP', 1230],
    ['12,34', 'GBP', 1234],
    ['0.01', 'GBP', 1],
    ['12', 'JPY', 12],
    ['1.234', 'KWD', 1234],
    ['١٢٫٣٤', 'EGP', 1234],
    ['१२.३४', 'INR', 1234],
    ['12.345', 'GBP', undefined],
    ['12.5', 'JPY', undefined],
    ['0', 'GBP', undefined],
    ['-1', 'GBP', undefined],
    ['1e3', 'GBP', undefined],
    ['', 'GBP', undefined],
    ['1 000', 'GBP', undefined],
  ])('%s %s is %s minor units', (text, currency, expected) => {
    expect(parseAmount(text, currency)).toBe(expected);
  });
});

describe('a form', () => {
  it('needs a reason for what cannot be undone', () => {
    expect(missing('cancel', EMPTY_FORM, order)).toBe('reason');
    expect(missing('refund', EMPTY_FORM, order)).toBe('reason');
    expect(missing('deliver', EMPTY_FORM, { ...order, status: 'out_for_delivery' })).toBe('reason');
    expect(missing('cancel', form({ reason: 'duplicate' }), order)).toBeUndefined();
  });

  it('needs a reason for another courier only after the pick-up', () => {
    expect(missing('assign_courier', EMPTY_FORM, order)).toBe('courier');
    const chosen = form({ courier: 'c1' });
    expect(missing('assign_courier', chosen, { ...order, status: 'preparing' })).toBeUndefined();
    expect(missing('assign_courier', chosen, { ...order, status: 'out_for_delivery' })).toBe('reason');
  });

  it('names the unavailable items, and only for that reason', () => {
    expect(missing('cancel', form({ reason: 'item_unavailable' }), order)).toBe('items');
    const named = form({ reason: 'item_unavailable', items: ['dal'] });
    expect(bodyOf('cancel', named, order)).toEqual({ reason: 'item_unavailable', items: [{ item: 'dal' }] });
    expect(bodyOf('cancel', { ...named, reason: 'other' }, order)).toEqual({ reason: 'other' });
  });

  it('refunds everything, lines or an amount', () => {
    const all = form({ reason: 'quality', amount: '5', quantities: { 0: 1 }, note: '  Cold  ' });
    expect(bodyOf('refund', all, order)).toEqual({ reason: 'quality', note: 'Cold' });
    const lines: Form = { ...all, scope: 'lines', quantities: { 0: 2, 1: 0, 2: 1 }, bearer: 'platform' };
    expect(bodyOf('refund', lines, order)).toEqual({
      reason: 'quality',
      note: 'Cold',
      lines: [
        { line: 0, quantity: 2 },
        { line: 2, quantity: 1 },
      ],
      borne_by: 'platform',
    });
    expect(missing('refund', { ...lines, quantities: { 0: 0 } }, order)).toBe('lines');
    expect(bodyOf('refund', { ...all, scope: 'amount' }, order)).toEqual({ reason: 'quality', note: 'Cold', amount: 500 });
    expect(missing('refund', { ...all, scope: 'amount', amount: 'five' }, order)).toBe('amount');
  });

  it('offers the reason of an early end only for such an order', () => {
    expect(reasonsOf('refund', { status: 'delivered' })).not.toContain('order_ended');
    const closure = { how: 'expired' } as const;
    expect(reasonsOf('refund', { status: 'cancelled', closure })).toContain('order_ended');
  });
});
