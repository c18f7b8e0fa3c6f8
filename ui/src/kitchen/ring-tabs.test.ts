import { describe, expect, it } from 'vitest';
import { ManualTimers, settle } from '../lib/testing/timers';
import { PATIENCE, RingTurn, SIGN_INTERVAL } from './ring-tabs';

type Grant = () => Promise<void> | undefined;

/** The locks and channels of one browser. */
class Browser {
  readonly timers = new ManualTimers();
  readonly #queue: Grant[] = [];
  #held = false;
  readonly #channels = new Set<{ onmessage: ((event: MessageEvent) => void) | null; deaf: boolean }>();

  readonly locks = {
    request: async (_name: string, { signal }: LockOptions, granted: Grant) => {
      await new Promise<void>((done) => {
        this.#queue.push(() => (signal?.aborted === true ? undefined : granted()));
        signal?.addEventListener('abort', () => done());
        void this.#next();
      });
    },
  } as unknown as LockManager;

  async #next(): Promise<void> {
    if (this.#held) return;
    this.#held = true;
    for (let grant = this.#queue.shift(); grant !== undefined; grant = this.#queue.shift()) await grant();
    this.#held = false;
  }

  tab(id: string) {
    const channel = {
      onmessage: null as ((event: MessageEvent) => void) | null,
      deaf: false,
      postMessage: (data: unknown) => {
        if (channel.deaf) return;
        for (const other of this.#channels) if (other !== channel && !other.deaf) other.onmessage?.({ data } as MessageEvent);
      },
      close: () => void this.#channels.delete(channel),
    };
    this.#channels.add(channel);
    const turn = new RingTurn({ name: 'board', id, onChange: () => undefined, locks: this.locks, timers: this.timers, channel });
    return { turn, channel };
  }
}

const ringing = (...tabs: { turn: RingTurn }[]) => tabs.map(({ turn }) => turn.mine);

describe('of two tabs', () => {
  it('one rings, and the other rings as soon as the first closes', async () => {
    const browser = new Browser();
    const [first, second] = [browser.tab('a'), browser.tab('b')];
    for (const { turn } of [first, second]) turn.follow(true, true);
    await settle();
    expect(ringing(first, second)).toEqual([true, false]);
    await browser.timers.advance(60_000);
    expect(ringing(first, second)).toEqual([true, false]);
    first.turn.close();
    await settle();
    expect(second.turn.mine).toBe(true);
  });

  it('the tab whose sound is not locked rings', async () => {
    const browser = new Browser();
    const [first, second] = [browser.tab('a'), browser.tab('b')];
    first.turn.follow(false, true);
    second.turn.follow(true, true);
    await settle();
    expect(ringing(first, second)).toEqual([false, true]);
    second.turn.follow(false, true);
    first.turn.follow(true, true);
    await settle();
    expect(ringing(first, second)).toEqual([true, false]);
  });

  it('both ring if the lock holder sends no notification', async () => {
    const browser = new Browser();
    const [first, second] = [browser.tab('a'), browser.tab('b')];
    first.turn.follow(true, true);
    await settle();
    first.channel.deaf = true;
    second.turn.follow(true, true);
    await browser.timers.advance(PATIENCE - SIGN_INTERVAL);
    expect(second.turn.mine).toBe(false);
    await browser.timers.advance(SIGN_INTERVAL);
    expect(second.turn.mine).toBe(true);
    first.channel.deaf = false;
    await browser.timers.advance(SIGN_INTERVAL);
    expect(ringing(first, second)).toEqual([true, false]);
  });
});

it('of several tabs without a notification, one continues to ring', async () => {
  const browser = new Browser();
  const [first, second, third] = [browser.tab('a'), browser.tab('b'), browser.tab('c')];
  first.turn.follow(true, false);
  await settle();
  for (const { turn } of [third, second]) turn.follow(true, true);
  second.channel.deaf = true;
  await browser.timers.advance(PATIENCE);
  expect(ringing(second, third)).toEqual([true, true]);
  second.channel.deaf = false;
  await browser.timers.advance(SIGN_INTERVAL);
  expect(ringing(second, third)).toEqual([true, false]);
});

it('without Web Locks every tab rings', () => {
  const browser = new Browser();
  const { channel } = browser.tab('a');
  const turn = new RingTurn({ name: 'board', onChange: () => undefined, locks: undefined, timers: browser.timers, channel });
  turn.follow(true, true);
  expect(turn.mine).toBe(true);
});
