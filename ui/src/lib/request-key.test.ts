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
