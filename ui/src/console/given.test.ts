import { expect, it } from 'vitest';
import type { Entry } from '../lib/outbox';
import { givenOf, requestOf, settled } from './given';

const order = { id: 'order/1', version: 7, display_code: 'K7M3Q' };

function entry(changes: Partial<Entry>): Entry {
  const request = requestOf('assign_courier', order, { courier_id: 'c' });
  return { ...request, sequence: 1, key: 'k', state: 'waiting', created: 0, due: 0, attempts: 0, claimed: 0, ...changes };
}

it('a request names the version that the person saw', () => {
  expect(requestOf('assign_courier', order, { courier_id: 'c' })).toEqual({
    group: 'order/1',
    method: 'POST',
    path: '/v1/orders/order%2F1/assign',
    headers: { 'If-Match': '"7"' },
    body: { courier_id: 'c' },
    subject: { page: 'console', command: 'assign_courier', order: 'order/1', code: 'K7M3Q' },
  });
});

it('commands of a kitchen board in the same outbox are not the console’s', () => {
  const board = entry({ key: 'b', subject: { kind: 'accept', restaurant: 'r' } });
  expect(givenOf([board, entry({ subject: undefined }), entry({ key: 'c' })]).map((given) => given.key)).toEqual(['c']);
});

it('a refusal keeps its status, code and text', () => {
  const problem = { status: 412, code: 'precondition_failed', title: 'Changed', detail: 'The order changed.' };
  const [given] = givenOf([entry({ state: 'refused', problem, attempts: 1 })]);
  expect(given?.refusal).toMatchObject(problem);
});

it('a command settles once: when it leaves the outbox, or when it is refused', () => {
  const waiting = givenOf([entry({ key: 'a' }), entry({ key: 'b' }), entry({ key: 'c' })]);
  const problem = { status: 409, code: 'illegal_move', title: 'No' };
  const later = givenOf([entry({ key: 'b', state: 'refused', problem }), entry({ key: 'c', state: 'sending', attempts: 2 })]);
  expect(settled(waiting, later).map(({ given, outcome }) => [given.key, outcome.ok])).toEqual([
    ['a', true],
    ['b', false],
  ]);
  // A dismissed refusal is not done.
  expect(settled(later, givenOf([entry({ key: 'c', state: 'sending', attempts: 3 })]))).toEqual([]);
});
