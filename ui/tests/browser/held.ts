// The time to undo is five seconds on the clock, which a busy machine may need for one step of a test. These functions take the
// clock out of such a test: a board sends no command until the test says so, and a tap on "Undo" counts.
import type { Locator, Page } from 'playwright-core';
import { REACTION } from '../../src/kitchen/steady';
import type { Front } from './front';

const BLANK = '/blank.html';
/**
 * Time for which a control must have been at rest before a tap on it counts, with an allowance: the tap is then neither meant for
 * what was there before, nor the second tap of a double tap. The page shows nothing when this time ends.
 */
const REST = REACTION + 100;
/** Maximum time to wait for a control that rests, in milliseconds. */
const MAXIMUM_WAIT = 15_000;

/**
 * Requests the lock of an account's outbox for `tab`, a further tab of the context. A board that opens afterwards keeps its
 * commands; a board that is open keeps them once it is loaded again. Returns the function that lets the board send.
 */
export async function holdOutbox(tab: Page, front: Front, account: string): Promise<() => Promise<void>> {
  front.files.set(BLANK, { type: 'text/html; charset=utf-8', content: '<!doctype html><title>Blank</title>' });
  await tab.goto(BLANK);
  const name = `dabba-outbox-${account}`;
  await tab.evaluate(async (lock) => {
    const released = new Promise<void>((release) => Object.assign(globalThis, { release }));
    void navigator.locks.request(lock, () => released);
    // The browser answers in the order of the requests, so it knows the first one now.
    await navigator.locks.query();
  }, name);
  return async () => {
    const { held = [], pending = [] } = await tab.evaluate(() => navigator.locks.query());
    // Without these locks the board has sent its commands all the time.
    if (!held.some((lock) => lock.name === name)) throw new Error('The outbox is not held.');
    if (!pending.some((lock) => lock.name === name)) throw new Error('No board waits for the outbox.');
    await tab.evaluate(() => (globalThis as unknown as { release: () => void }).release());
  };
}

/** Waits until an element has kept its place and its size for `REST`. Returns false if it leaves the page. */
const rests = (element: Locator): Promise<boolean> =>
  element.evaluate(
    (node, rest) =>
      new Promise<boolean>((done) => {
        let place = '';
        let since = performance.now();
        const frame = () => {
          const { x, y, width, height } = node.getBoundingClientRect();
          const now = [x, y, width, height].join(' ');
          if (now !== place) [place, since] = [now, performance.now()];
          if (!node.isConnected) done(false);
          else if (performance.now() - since >= rest) done(true);
          else requestAnimationFrame(frame);
        };
        frame();
      }),
    REST,
  );

/**
 * Taps a control of the board as a person does who sees the board at rest. A tap on what has just appeared or moved does not
 * count, and a board moves while it opens: use this for every tap on a card and on a bar that is not about such movements.
 * Returns the time of the tap.
 */
export async function tapAtRest(control: Locator, how: 'click' | 'dblclick' | 'tap' = 'click'): Promise<number> {
  const end = Date.now() + MAXIMUM_WAIT;
  await control.scrollIntoViewIfNeeded();
  while (!(await rests(control))) if (Date.now() > end) throw new Error('The control does not rest.');
  const now = Date.now();
  await control[how]();
  return now;
}
