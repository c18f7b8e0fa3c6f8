// What the tests of the board with the stand-in share: one browser per file, an empty kitchen per test, and the cards.
import type { BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { KitchenMock } from '../mock/kitchen';
import { KITCHEN, Stage } from '../mock/open';
import { holdOutbox as hold } from './held';

/** The browser of the file. */
export let stage: Stage;
/** The kitchen of the test. */
export let mock: KitchenMock;

/** Opens a stage for the tests of a file. Call it once, outside of the tests. */
export function useStage(): void {
  beforeAll(async () => {
    stage = await Stage.open();
  });
  beforeEach(() => {
    mock = stage.reset();
  });
  afterEach(() => {
    stage.front.connect();
    return stage.check();
  });
  afterAll(() => stage.close());
}

/** Seconds since an order was placed that expires so soon that its acceptance is not delayed. */
export const URGENT = 470;

export const card = (page: Page, code: string) => page.locator(`[data-code="${code}"]`);
export const column = (page: Page, name: string) => page.locator(`[data-column="${name}"]`);

/**
 * Keeps the boards of a new or a known context from sending commands, as `held.ts` describes. Returns the context, and the
 * function that lets the boards send.
 */
export async function holdOutbox(
  options: BrowserContextOptions = {},
  known?: BrowserContext,
): Promise<{ context: BrowserContext; release: () => Promise<void> }> {
  const tab = await stage.page(options, known);
  const session = await fetch(`${stage.front.origin}/v1/session`);
  const { account } = (await session.json()) as { account: { id: string } };
  return { context: tab.context(), release: await hold(tab, stage.front, account.id) };
}

interface Sound {
  /** Number of the loops that the page plays. */
  loops: number;
  /** The volume that the page has set last. */
  volume: number;
}

/** Records the loops that the page starts and stops. */
export async function recordSound(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const scope = globalThis as unknown as Sound;
    scope.loops = 0;
    const set = AudioParam.prototype.setValueAtTime;
    AudioParam.prototype.setValueAtTime = function (this: AudioParam, value: number, time: number) {
      scope.volume = value;
      return set.call(this, value, time);
    };
    const create = AudioContext.prototype.createBufferSource;
    AudioContext.prototype.createBufferSource = function (this: AudioContext) {
      const source = create.call(this);
      const start = source.start.bind(source);
      const stop = source.stop.bind(source);
      source.start = (when?: number) => {
        if (source.loop) scope.loops += 1;
        start(when);
      };
      source.stop = (when?: number) => {
        if (source.loop && when === undefined) scope.loops -= 1;
        stop(when);
      };
      return source;
    };
  });
}

export const loops = (page: Page) => page.evaluate(() => (globalThis as unknown as Sound).loops);

export const hasVolume = (page: Page, volume: number) =>
  page.waitForFunction((wanted) => (globalThis as unknown as Sound).volume === wanted, volume);

export const rings = (page: Page) => page.waitForFunction(() => (globalThis as unknown as Sound).loops > 0);
export const isSilent = (page: Page) => page.waitForFunction(() => (globalThis as unknown as Sound).loops === 0);

/** Opens a board whose sound is unlocked. */
export async function openAudible(first?: Page, options: BrowserContextOptions = {}): Promise<Page> {
  const page = await stage.page(options, first?.context());
  await recordSound(page);
  await page.goto(KITCHEN);
  await page.getByRole('button', { name: 'Switch sound on' }).click();
  await page.getByText('The sound is off.').waitFor({ state: 'detached' });
  return page;
}
