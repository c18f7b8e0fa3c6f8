import { expect, it } from 'vitest';
import { ApiError } from '../lib/api/error';
import { Entry } from './entry.svelte';

interface Read {
  resolve: (value: string) => void;
  reject: (error: unknown) => void;
}

/** An entry whose reads the test answers, and that it may hold. */
function source() {
  const reads: Read[] = [];
  const seen: [string, string | undefined][] = [];
  const held = { now: false };
  const entry = new Entry<string>(
    () => new Promise((resolve, reject) => reads.push({ resolve, reject })),
    () => held.now,
    (value, before) => seen.push([value, before]),
  );
  return { entry, reads, held, seen };
}

it('shows what was read, and reports it with the value before', async () => {
  const { entry, reads, seen } = source();
  const first = entry.load();
  reads[0]?.resolve('one');
  await first;
  const second = entry.load();
  reads[1]?.resolve('two');
  await second;
  expect(entry.value).toBe('two');
  expect(seen).toEqual([['one', undefined], ['two', 'one']]);
});

it('keeps the answer to a command although an older read arrives later', async () => {
  const { entry, reads, seen } = source();
  const loading = entry.load();
  entry.keep('after the command');
  reads[0]?.resolve('before the command');
  await loading;
  expect(entry.value).toBe('after the command');
  expect(seen).toEqual([]);
});

it('ignores the failure of an older read', async () => {
  const { entry, reads } = source();
  const loading = entry.load();
  entry.keep('after the command');
  reads[0]?.reject(new ApiError(503, {}));
  await loading;
  expect(entry.failure).toBeUndefined();
});

it('changes nothing while a dialog holds it, and does not even read', async () => {
  const { entry, reads, held } = source();
  entry.keep('seen');
  const loading = entry.refresh();
  held.now = true;
  reads[0]?.resolve('changed');
  await loading;
  await entry.refresh();
  expect(entry.value).toBe('seen');
  expect(reads).toHaveLength(1);
});

it.each([400, 404])('counts the refusal %i as an unknown id, and keeps other failures until a read succeeds', async (status) => {
  const { entry, reads } = source();
  const failing = entry.load();
  const failure = new ApiError(503, {});
  reads[0]?.reject(failure);
  await failing;
  expect(entry.failure).toBe(failure);
  const succeeding = entry.load();
  reads[1]?.resolve('one');
  await succeeding;
  expect(entry.failure).toBeUndefined();
  const refused = entry.load();
  reads[2]?.reject(new ApiError(status, {}));
  await refused;
  expect(entry.unknown).toBe(true);
});
