import { beforeEach, describe, expect, it } from 'vitest';
import { ManualTimers } from '../lib/testing/timers';
import { MAXIMUM_FREEZE, REACTION, Steady } from './steady';

let timers: ManualTimers;
let frozen: boolean;
let steady: Steady;

beforeEach(() => {
  timers = new ManualTimers();
  frozen = false;
  steady = new Steady((next) => (frozen = next), timers);
});

describe('the place of the bars', () => {
  it('keeps its size while a finger is down, and for a moment after it', async () => {
    steady.down();
    expect(frozen).toBe(true);
    await timers.advance(1_000);
    steady.up();
    await timers.advance(REACTION - 1);
    expect(frozen).toBe(true);
    await timers.advance(1);
    expect(frozen).toBe(false);
  });

  it('keeps its size through taps that follow each other, but not for ever', async () => {
    for (let tap = 0; tap * 400 < MAXIMUM_FREEZE - 400; tap += 1) {
      steady.down();
      steady.up();
      await timers.advance(400);
      expect(frozen).toBe(true);
    }
    steady.down();
    await timers.advance(400);
    expect(frozen).toBe(false);
  });
});
