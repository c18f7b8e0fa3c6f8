import { expect, it } from 'vitest';
import { inTurn, MAXIMUM_IN_FLIGHT } from './turns';

/** Lets every promise that can make progress do so. */
const settle = () => new Promise((done) => setImmediate(done));

it('few requests are under way at the same time, whoever wants them, and each gets its turn', async () => {
  const started: number[] = [];
  const end: (() => void)[] = [];
  const count = MAXIMUM_IN_FLIGHT + 3;
  const all = Array.from({ length: count }, (_, index) =>
    inTurn(() => {
      started.push(index);
      return new Promise<number>((resolve) => end.push(() => resolve(index)));
    }),
  );
  await settle();
  expect(started).toHaveLength(MAXIMUM_IN_FLIGHT);
  for (let next = MAXIMUM_IN_FLIGHT; next < count; next += 1) {
    end.shift()?.();
    await settle();
    expect(started).toHaveLength(next + 1);
  }
  for (const finish of end) finish();
  expect(await Promise.all(all)).toEqual(Array.from({ length: count }, (_, index) => index));
});

it('a request that fails gives its turn back', async () => {
  for (let count = 0; count < 2 * MAXIMUM_IN_FLIGHT; count += 1) {
    await expect(inTurn(() => Promise.reject(new Error('no network')))).rejects.toThrow('no network');
  }
  expect(await inTurn(() => Promise.resolve('done'))).toBe('done');
});
