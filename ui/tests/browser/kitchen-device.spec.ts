// What a board asks of its device: a screen that stays on, the whole screen, sound, and no motion. The server is a stand-in here.
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { KITCHEN } from '../mock/open';
import { accessibilityProblems } from './accessible';
import { tapAtRest } from './held';
import { card, holdOutbox, mock, stage, useStage } from './stage';

useStage();

interface Locks {
  /** The wake locks that the browser has granted. */
  granted: WakeLockSentinel[];
  /** Number of requests, and what lets the browser grant those that wait. */
  requests: number;
  hold: boolean;
  grant: () => void;
}

/** Records the wake locks of a page. While `hold` is set, a request waits until `grant` is called. */
async function recordLocks(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const waiting: (() => void)[] = [];
    const locks: Locks = { granted: [], requests: 0, hold: false, grant: () => waiting.splice(0).forEach((go) => go()) };
    Object.assign(globalThis, { locks });
    const request = navigator.wakeLock.request.bind(navigator.wakeLock);
    navigator.wakeLock.request = async (type) => {
      locks.requests += 1;
      if (locks.hold) await new Promise<void>((go) => waiting.push(go));
      const lock = await request(type);
      locks.granted.push(lock);
      return lock;
    };
  });
}

/** Waits until a number of wake locks keep the screen on. */
const hasLocks = (page: Page, count: number) =>
  page.waitForFunction((wanted) => {
    const { locks } = globalThis as unknown as { locks: Locks };
    return locks.granted.filter((lock) => !lock.released).length === wanted;
  }, count);
const requests = (page: Page) => page.evaluate(() => (globalThis as unknown as { locks: Locks }).locks.requests);
const setHold = (page: Page, hold: boolean) =>
  page.evaluate((value) => {
    const { locks } = globalThis as unknown as { locks: Locks };
    locks.hold = value;
    if (!value) locks.grant();
  }, hold);
/** Tells the page that it is hidden or visible. A browser releases the lock of a hidden page, and so does this one. */
const setVisible = (page: Page, visible: boolean) =>
  page.evaluate(async (value) => {
    const { locks } = globalThis as unknown as { locks: Locks };
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => (value ? 'visible' : 'hidden') });
    if (!value) await Promise.all(locks.granted.map((lock) => lock.release()));
    document.dispatchEvent(new Event('visibilitychange'));
  }, visible);

async function openRecorded(): Promise<Page> {
  const page = await stage.page();
  await recordLocks(page);
  await page.goto(KITCHEN);
  await page.getByText('Live', { exact: true }).waitFor();
  return page;
}

describe('the screen', () => {
  it('stays on while the board is visible, unless a person switches this off', async () => {
    const page = await openRecorded();
    await hasLocks(page, 1);
    await setVisible(page, false);
    await hasLocks(page, 0);
    await setVisible(page, true);
    await hasLocks(page, 1);
    await page.getByRole('button', { name: 'Settings', exact: true }).click();
    const option = page.getByRole('switch', { name: 'Keep the screen on' });
    await option.uncheck();
    await hasLocks(page, 0);
    await option.check();
    await hasLocks(page, 1);
    expect(await requests(page)).toBe(3);
  });

  it('may sleep when the board ends', async () => {
    const page = await openRecorded();
    await hasLocks(page, 1);
    mock.revoke();
    await page.getByText('You are signed out').waitFor();
    await hasLocks(page, 0);
  });

  it('is asked for once at a time, however often the board is shown meanwhile', async () => {
    const page = await openRecorded();
    await hasLocks(page, 1);
    await setVisible(page, false);
    await setHold(page, true);
    for (let turn = 0; turn < 3; turn += 1) await setVisible(page, true);
    expect(await requests(page)).toBe(2);
    await setHold(page, false);
    await hasLocks(page, 1);
    expect(await requests(page)).toBe(2);
  });

  it('may sleep if a person switches it off before the browser has decided', async () => {
    const page = await openRecorded();
    await hasLocks(page, 1);
    await setVisible(page, false);
    await setHold(page, true);
    await setVisible(page, true);
    await page.getByRole('button', { name: 'Settings', exact: true }).click();
    await page.getByRole('switch', { name: 'Keep the screen on' }).uncheck();
    await setHold(page, false);
    await page.waitForFunction(() => (globalThis as unknown as { locks: Locks }).locks.granted.length === 2);
    await hasLocks(page, 0);
  });

  it('may sleep in every tab once a person switches this off in one', async () => {
    const first = await openRecorded();
    await hasLocks(first, 1);
    const second = await stage.board({}, first.context());
    await second.getByRole('button', { name: 'Settings', exact: true }).click();
    await second.getByRole('switch', { name: 'Keep the screen on' }).uncheck();
    await hasLocks(first, 0);
  });

  it('is filled by the board, and the button says so', async () => {
    const page = await stage.board();
    const button = page.getByRole('button', { name: 'Full screen', exact: true });
    expect(await button.getAttribute('aria-pressed')).toBe('false');
    await button.click();
    await page.waitForFunction(() => document.fullscreenElement === document.documentElement);
    await page.locator('button[aria-pressed="true"]', { hasText: 'Full screen' }).waitFor();
    await button.click();
    await page.waitForFunction(() => document.fullscreenElement === null);
    await page.locator('button[aria-pressed="false"]', { hasText: 'Full screen' }).waitFor();
  });
});

describe('the test of the sound', () => {
  it('plays the ring and then the warning, once', async () => {
    const page = await stage.page();
    await page.addInitScript(() => {
      const played: { loop: boolean; start: number; seconds: number }[] = [];
      Object.assign(globalThis, { played });
      const create = AudioContext.prototype.createBufferSource;
      AudioContext.prototype.createBufferSource = function (this: AudioContext) {
        const source = create.call(this);
        const start = source.start.bind(source);
        source.start = (when = 0) => {
          played.push({ loop: source.loop, start: when, seconds: source.buffer?.duration ?? 0 });
          start(when);
        };
        return source;
      };
    });
    await page.goto(KITCHEN);
    await page.getByText('The sound is off.').waitFor();
    // The tap unlocks the sound.
    await page.getByRole('button', { name: 'Settings', exact: true }).click();
    await page.getByRole('button', { name: 'Test the sound' }).click();
    await page.waitForFunction(() => (globalThis as unknown as { played: unknown[] }).played.length === 2);
    const played = await page.evaluate(() => (globalThis as unknown as { played: { loop: boolean; start: number; seconds: number }[] }).played);
    const [ring, warning] = played;
    expect(played.map(({ loop }) => loop)).toEqual([false, false]);
    expect((warning?.start ?? 0) - (ring?.start ?? 0)).toBeCloseTo(ring?.seconds ?? 0, 2);
    expect(ring?.seconds).toBeGreaterThan(warning?.seconds ?? 0);
    // The page shows that it plays, and asks afterwards whether anything was heard.
    await page.getByText('The sound plays: first the ring, then the warning.').waitFor();
    await page.getByText('Nothing heard? Turn up the volume of the device, and unmute it.').waitFor();
  });

  it('says that the browser blocks the sound', async () => {
    const page = await stage.page();
    await page.addInitScript(() => {
      // Chromium does not answer while it blocks the sound.
      AudioContext.prototype.resume = () => new Promise(() => undefined);
    });
    await page.goto(KITCHEN);
    await page.getByRole('button', { name: 'Settings', exact: true }).click();
    await page.getByRole('button', { name: 'Test the sound' }).click();
    await page.getByText('The browser blocks the sound.').waitFor();
    expect(await accessibilityProblems(page, 'blocked sound')).toEqual([]);
  });
});

/** Records what the page moves: the names of the animations and transitions that take time. */
async function recordMotion(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const moved = new Set<string>();
    Object.assign(globalThis, { moved });
    const look = () => {
      for (const animation of document.getAnimations()) {
        const effect = animation.effect as KeyframeEffect | null;
        // A spinner says that something happens. It turns in few steps.
        if (effect?.target?.closest('.spinner') != null) continue;
        const name = animation instanceof CSSTransition ? animation.transitionProperty : (animation as CSSAnimation).animationName;
        if (Number(effect?.getComputedTiming().duration ?? 0) > 0) moved.add(name);
      }
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
}

describe('a person who wants less motion', () => {
  it.each(['no-preference', 'reduce'] as const)('with %s sees motion only if that is wanted', async (reducedMotion) => {
    const order = mock.place({ age: 30 });
    const { context, release } = await holdOutbox({ reducedMotion });
    const page = await stage.page({}, context);
    await recordMotion(page);
    await page.goto(KITCHEN);
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Accept/ }));
    await page.getByRole('button', { name: /^Undo/ }).waitFor();
    await page.keyboard.press('z');
    await page.getByText('Taken back.').waitFor();
    await release();
    await page.getByRole('button', { name: 'Items', exact: true }).click();
    await page.getByRole('button', { name: 'Details, Garlic Naan' }).click();
    await page.getByRole('group', { name: 'Stock of Garlic Naan' }).waitFor();
    // What moves is seen in a frame.
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    const moved = await page.evaluate(() => [...(globalThis as unknown as { moved: Set<string> }).moved].join());
    if (reducedMotion === 'reduce') expect(moved).toBe('');
    else expect(moved).toMatch(/appear/);
  });
});
