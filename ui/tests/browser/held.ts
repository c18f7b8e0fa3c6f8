// The time to undo is five seconds on the clock, which a busy machine may need for one step of a test. These functions take the
// clock out of such a test: a board sends no command until the test says so, and a tap on "Undo" counts.
import type { Locator, Page } from 'playwright-core';
import { REACTION } from '../../src/kitchen/steady';
import type { Front } from './front';

const BLANK = '/blank.html';
/**
 * Time after which a tap on a button that has just appeared or moved counts, with an allowance: it is then neither meant for what
 * was there before, nor the second tap of a double tap. The page shows nothing when this time ends.
 */
const UNTIL_TAPS_COUNT = REACTION + 100;

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

async function untilTapsCount(button: Locator): Promise<void> {
  await button.waitFor();
  await new Promise((done) => setTimeout(done, UNTIL_TAPS_COUNT));
}

/** Taps a button of a card that has just appeared or moved, once a tap on it counts. */
export async function tapSteady(button: Locator): Promise<void> {
  await untilTapsCount(button);
  await button.tap();
}

/** Clicks a button "Undo" once a tap on it counts. */
export async function tapUndo(button: Locator): Promise<void> {
  await untilTapsCount(button);
  await button.click();
}
