import { beforeEach, describe, expect, it } from 'vitest';
import { ManualTimers, settle } from '../lib/testing/timers';
import { CLOSED_INTERVAL, MINIMUM_PAUSE, OPEN_INTERVALS, Watch } from './watch';

let timers: ManualTimers;
let watch: Watch;
let reads: number;
let open: boolean;
let hidden: boolean;
/** Pause that the server asks for. */
let pause: number;
/** Ends the read that is under way. */
let answer: (() => void) | undefined;
let slow: boolean;

beforeEach(() => {
  timers = new ManualTimers();
  [reads, open, hidden, pause, answer, slow] = [0, false, false, 0, undefined, false];
  watch = new Watch({
    read: async () => {
      reads += 1;
      if (slow) await new Promise<void>((resolve) => (answer = resolve));
      return pause;
    },
    isOpen: () => open,
    timers,
    hidden: () => hidden,
  });
});

describe('a restaurant', () => {
  it('that takes no orders is read every 15 seconds', async () => {
    await timers.advance(CLOSED_INTERVAL - 1);
    expect(reads).toBe(0);
    await timers.advance(1);
    expect(reads).toBe(1);
    await timers.advance(2 * CLOSED_INTERVAL);
    expect(reads).toBe(3);
  });

  it('that takes orders is read less often, and more often as soon as it closes', async () => {
    open = true;
    await timers.advance(OPEN_INTERVALS * CLOSED_INTERVAL - 1);
    expect(reads).toBe(0);
    await timers.advance(1);
    expect(reads).toBe(1);
    open = false;
    await timers.advance(CLOSED_INTERVAL);
    expect(reads).toBe(2);
  });

  it('is not read while nobody sees the page, and at once when somebody does', async () => {
    hidden = true;
    await timers.advance(10 * CLOSED_INTERVAL);
    watch.now();
    await timers.advance(0);
    expect(reads).toBe(0);
    hidden = false;
    watch.now();
    await timers.advance(0);
    expect(reads).toBe(1);
  });

  it('is not read at each change between tabs', async () => {
    for (let change = 0; change < 20; change += 1) {
      watch.now();
      await timers.advance(100);
    }
    expect(reads).toBe(1);
    await timers.advance(MINIMUM_PAUSE);
    expect(reads).toBe(2);
  });

  it('is read again if the network came back during a read', async () => {
    slow = true;
    watch.now();
    await timers.advance(0);
    watch.now();
    slow = false;
    answer?.();
    await settle();
    await timers.advance(MINIMUM_PAUSE);
    expect(reads).toBe(2);
  });

  it('is read only after the pause that the server asks for', async () => {
    pause = 40_000;
    watch.now();
    await timers.advance(0);
    watch.now();
    await timers.advance(39_999);
    expect(reads).toBe(1);
    await timers.advance(CLOSED_INTERVAL);
    expect(reads).toBe(2);
  });

  it('is not read after the page has ended', async () => {
    slow = true;
    watch.now();
    await timers.advance(0);
    watch.stop();
    answer?.();
    await timers.advance(10 * CLOSED_INTERVAL);
    watch.now();
    await timers.advance(0);
    expect(reads).toBe(1);
  });
});
