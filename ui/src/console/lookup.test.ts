import { expect, it, vi } from 'vitest';
import { CONCURRENCY } from './bulk';
import { Lookup } from './lookup.svelte';

/** A source whose reads the test answers one by one. */
function source() {
  const open = new Map<string, { resolve: (value: string) => void; reject: (error: Error) => void }>();
  const reads: string[] = [];
  const lookup = new Lookup<string>((id) => {
    reads.push(id);
    return new Promise((resolve, reject) => open.set(id, { resolve, reject }));
  });
  return { lookup, open, reads };
}

it('reads each value once, and few at a time', async () => {
  const { lookup, open, reads } = source();
  const ids = Array.from({ length: CONCURRENCY + 2 }, (_, index) => `id ${index}`);
  for (const id of [...ids, ...ids]) lookup.need(id);
  expect(reads).toEqual(ids.slice(0, CONCURRENCY));
  open.get('id 0')?.resolve('zero');
  await vi.waitUntil(() => reads.length === CONCURRENCY + 1);
  expect(lookup.of('id 0')).toBe('zero');
  lookup.need('id 0');
  for (const id of ids.slice(1)) {
    await vi.waitUntil(() => open.has(id));
    open.get(id)?.resolve(id);
  }
  await vi.waitUntil(() => ids.every((id) => lookup.of(id) !== undefined));
  expect(reads).toEqual(ids);
});

it('retries after a failure, and only when it is called', async () => {
  const { lookup, open, reads } = source();
  lookup.need('a');
  lookup.need('b');
  open.get('a')?.reject(new Error('no network'));
  open.get('b')?.resolve('two');
  await vi.waitUntil(() => lookup.of('b') !== undefined);
  expect(lookup.of('a')).toBeUndefined();
  expect(reads).toEqual(['a', 'b']);
  lookup.need('a');
  open.get('a')?.resolve('one');
  await vi.waitUntil(() => lookup.of('a') === 'one');
  expect(reads).toEqual(['a', 'b', 'a']);
});

it('reads a known value again on request, and shows the old one until then', async () => {
  const { lookup, open, reads } = source();
  lookup.keep('a', 'old');
  lookup.again('a');
  lookup.again('a');
  expect(lookup.of('a')).toBe('old');
  open.get('a')?.resolve('new');
  await vi.waitUntil(() => lookup.of('a') === 'new');
  expect(reads).toEqual(['a']);
});

it('does not read what was read elsewhere', () => {
  const { lookup, reads } = source();
  lookup.keep('a', 'known');
  lookup.need('a');
  expect(lookup.of('a')).toBe('known');
  expect(reads).toEqual([]);
});
