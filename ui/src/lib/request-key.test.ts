import { expect, it } from 'vitest';
import { RequestKey } from './request-key';

it('a retry has the same key, and another request another one', () => {
  const keys = new RequestKey();
  const first = keys.of({ name: 'till' });
  expect(keys.of({ name: 'till' })).toBe(first);
  const second = keys.of({ name: 'tablet' });
  expect(second).not.toBe(first);
  // Back to the first request: its key was given up, and the server may have carried it out.
  expect(keys.of({ name: 'till' })).not.toBe(first);
});

it('a renewed request has another key', () => {
  const keys = new RequestKey();
  const first = keys.of({ name: 'till' });
  keys.renew();
  expect(keys.of({ name: 'till' })).not.toBe(first);
});

it('a change of a version has the same headers until another version or another change', () => {
  const key = new RequestKey();
  const first = key.headers(3, 'rotate');
  expect(first['If-Match']).toBe('"3"');
  expect(key.headers(3, 'rotate')).toEqual(first);
  expect(key.headers(4, 'rotate')['Idempotency-Key']).not.toBe(first['Idempotency-Key']);
  expect(key.headers(3, 'enable')['Idempotency-Key']).not.toBe(first['Idempotency-Key']);
});
