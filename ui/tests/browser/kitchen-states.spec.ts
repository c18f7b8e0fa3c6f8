// Every state of the board: accessible in every appearance, with targets for fingers.
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { calm } from '../mock/open';
import { accessibilityProblems, smallTargets } from './accessible';
import { tapAtRest } from './held';
import { holdOutbox, mock, stage, useStage } from './stage';

/** Minimum size of a target on the board, in pixels. */
const TARGET = 56;

useStage();

function fill(): void {
  mock.place({ age: 600, lines: 2 });
  mock.place({ age: 400, collection: true });
  mock.place({ age: 5 });
  mock.place({ status: 'preparing', readyIn: -60 });
  mock.place({ status: 'preparing', readyIn: 120 });
  mock.place({ status: 'preparing', readyIn: 1_200 });
  mock.place({ status: 'ready_for_pickup', collection: true, readyIn: -900 });
  mock.place({ status: 'ready_for_pickup', collection: false });
  mock.place({ status: 'out_for_delivery', collection: false });
}

/** Returns the targets that are too small. The target of a radio button or a checkbox is its label. */
async function targets(page: Page): Promise<string[]> {
  const small = (await smallTargets(page, TARGET)).filter((target) => !/ <input type="(radio|checkbox)"/.test(target));
  const labels = await page.locator('label:has(input)').evaluateAll(
    (all, least) => all.filter((label) => label.getBoundingClientRect().height < least - 0.5).map((label) => label.outerHTML),
    TARGET,
  );
  return [...small, ...labels];
}

async function check(page: Page, state: string): Promise<void> {
  expect(await accessibilityProblems(page, state)).toEqual([]);
  expect(await targets(page), state).toEqual([]);
}

describe('accessible is the board', () => {
  it('that is full, with locked sound, search, undo, notices and refusals', async () => {
    fill();
    const { context, release } = await holdOutbox();
    const page = await stage.board({}, context);
    await page.locator('[data-card]').first().waitFor();
    await check(page, 'full, sound locked');
    await page.getByRole('button', { name: 'Switch sound on' }).click();
    await page.getByText('The sound is off.').waitFor({ state: 'detached' });
    await calm(page);
    await tapAtRest(page.locator('[data-column=new]').getByRole('button', { name: /^Accept/ }).last());
    await page.getByRole('button', { name: /^Undo/ }).waitFor();
    mock.refuse = () => ({ status: 409, code: 'illegal_move', detail: 'The order does not allow this.' });
    await release();
    await page.getByText(/was not accepted/).waitFor();
    mock.end(mock.place({ status: 'preparing' }).id, 'cancelled', { how: 'cancelled', by: { role: 'customer' }, reason: 'too_slow' });
    await page.getByText('Stop preparing it.').waitFor();
    await check(page, 'refusal and notice');
    await page.getByLabel('Search by code or name').fill('ZZZZZ');
    await page.getByText('No order matches').first().waitFor();
    await check(page, 'search');
  }, 120_000);

  it('that is empty, paused, and without a network', async () => {
    mock.restaurant = { ...mock.restaurant, accepting: false, pause: {} };
    const page = await stage.board();
    await page.getByText('No new orders').waitFor();
    await check(page, 'empty');
    await page.context().setOffline(true);
    await page.getByText(/^No network/).waitFor();
    await check(page, 'offline');
  }, 120_000);

  it('that waits for undo, on a phone, from right to left', async () => {
    fill();
    const page = await stage.board({ viewport: { width: 390, height: 844 }, locale: 'ar' });
    await page.locator('[data-card]').first().waitFor();
    await check(page, 'Arabic phone');
    expect(await page.evaluate(() => document.documentElement.dir)).toBe('rtl');
  }, 120_000);

  it('under each dialog', async () => {
    fill();
    mock.end(mock.place({ collection: false }).id, 'delivered');
    const page = await stage.board();
    await page.mouse.click(5, 5);
    for (const name of ['Pause', 'Items', 'Recall', 'Settings', 'Help']) {
      await page.getByRole('button', { name, exact: true }).click();
      await page.getByRole('dialog').waitFor();
      if (name === 'Items') await page.getByRole('button', { name: 'Details, Garlic Naan' }).click();
      if (name === 'Recall') await page.getByText('Delivered').waitFor();
      expect(await accessibilityProblems(page, name)).toEqual([]);
      expect(await targets(page), name).toEqual([]);
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
    }
    await page.getByRole('button', { name: /^More for/ }).first().click();
    await page.getByRole('dialog').waitFor();
    expect(await accessibilityProblems(page, 'details')).toEqual([]);
    await page.getByRole('dialog').getByRole('button', { name: 'Reject: item unavailable' }).click();
    await page.getByText('Which items are unavailable?').waitFor();
    expect(await accessibilityProblems(page, 'end')).toEqual([]);
    expect(await targets(page)).toEqual([]);
  }, 240_000);

  it('that may not be shown', async () => {
    const page = await stage.page();
    await page.goto('/kitchen/019b0000-0000-7000-8000-00000000ffff');
    await page.getByText('This is not your kitchen').waitFor();
    expect(await accessibilityProblems(page, 'foreign')).toEqual([]);
    const own = await stage.board();
    mock.revoke();
    await own.getByText('You are signed out').waitFor();
    expect(await accessibilityProblems(own, 'signed out')).toEqual([]);
  }, 120_000);
});

describe('on paper', () => {
  it('is the ticket and nothing else', async () => {
    const order = mock.place({ collection: true, lines: 2 });
    const page = await stage.page();
    // The page believes that the dialog stays open.
    await page.addInitScript(() => (globalThis.print = () => undefined));
    await page.goto(`/kitchen/${mock.restaurant.id}`);
    await page.getByRole('button', { name: `More for ${order.display_code}` }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Print' }).click();
    await page.locator('[data-ticket]').waitFor({ state: 'attached' });
    expect(await page.locator('[data-ticket]').isVisible()).toBe(false);
    await page.emulateMedia({ media: 'print' });
    expect(await page.locator('[data-ticket]').isVisible()).toBe(true);
    expect(await page.locator('main').isVisible()).toBe(false);
    expect(await page.getByRole('dialog').isVisible()).toBe(false);
    const pdf = (await page.pdf({ preferCSSPageSize: true })).toString('latin1');
    const boxes = [...pdf.matchAll(/\/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)/g)];
    // 80 mm are 226.8 points.
    expect(boxes.map((box) => Math.round(Number(box[1])))).toEqual([227]);
  });
});
