import { describe, expect, it } from 'vitest';
import { CONCURRENCY, countOutcomes, runAll } from './bulk';

describe('a bulk action', () => {
  it('reports every outcome in the order of the entries, and goes on after a failure', async () => {
    const outcomes = await runAll([3, 1, 2], async (entry) => {
      // The first entry finishes last.
      for (let turn = 0; turn < entry * 3; turn += 1) await Promise.resolve();
      if (entry === 1) throw new Error('refused');
    });
    expect(outcomes.map((outcome) => [outcome.entry, outcome.ok])).toEqual([
      [3, true],
      [1, false],
      [2, true],
    ]);
    const [, failed] = outcomes;
    expect(failed?.ok === false && String(failed.error)).toBe('Error: refused');
    expect(countOutcomes(outcomes)).toEqual({ done: 2, failed: 1 });
  });

  it('runs a limited number at the same time, and reports the progress', async () => {
    let running = 0;
    let most = 0;
    const progress: number[] = [];
    const entries = Array.from({ length: 11 }, (_, index) => index);
    const action = async () => {
      most = Math.max(most, ++running);
      await new Promise((done) => setImmediate(done));
      running -= 1;
    };
    await runAll(entries, action, (finished) => progress.push(finished));
    expect(most).toBe(CONCURRENCY);
    expect(progress).toEqual(entries.map((index) => index + 1));
  });

  it('of no entries does nothing', async () => {
    expect(await runAll([], () => Promise.reject(new Error()))).toEqual([]);
  });
});
