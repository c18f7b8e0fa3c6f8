// What a person sees, hears and reaches while a dialog covers the board. The server is a stand-in here.
import type { Locator, Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { accessibilityProblems } from './accessible';
import { blockStorage } from './storage';
import { tapAtRest } from './held';
import { card, column, holdOutbox, isSilent, mock, openAudible, rings, stage, URGENT, useStage } from './stage';

const TABLET = { width: 1_024, height: 600 };

useStage();

/** The tools of the board that open a dialog. */
const TOOLS = ['Pause', 'Items', 'Recall', 'Settings', 'Help'];

async function openDetails(page: Page, code: string): Promise<Locator> {
  await tapAtRest(card(page, code).getByRole('button', { name: `More for ${code}` }));
  const dialog = page.getByRole('dialog', { name: `Order ${code}` });
  await dialog.waitFor();
  return dialog;
}

/** Whether a part of a dialog is in sight: nothing covers its middle, and a pointer hits it. */
const isInSight = (part: Locator) =>
  part.evaluate((element) => {
    const { left, top, width, height } = element.getBoundingClientRect();
    const hit = document.elementFromPoint(left + width / 2, top + height / 2);
    return hit !== null && element.contains(hit);
  });

describe('the open details of an order', () => {
  it('keep its code and its customer in sight while they scroll', async () => {
    const order = mock.place({ lines: 30, status: 'preparing' });
    const page = await stage.board({ viewport: TABLET });
    const dialog = await openDetails(page, order.display_code);
    await dialog.evaluate((element) => element.scrollTo(0, element.scrollHeight));
    await page.waitForFunction(() => (document.querySelector('dialog')?.scrollTop ?? 0) > 100);
    expect(await isInSight(dialog.getByRole('heading', { name: `Order ${order.display_code}` }))).toBe(true);
    expect(await isInSight(dialog.getByText(order.contact?.name ?? '').first())).toBe(true);
    expect(await isInSight(dialog.getByRole('button', { name: 'Close' }))).toBe(true);
  });

  it('show a new order that rings, also when they are scrolled, and lead to it', async () => {
    const order = mock.place({ lines: 30, status: 'preparing' });
    const page = await openAudible(undefined, { viewport: TABLET });
    const dialog = await openDetails(page, order.display_code);
    await dialog.evaluate((element) => element.scrollTo(0, element.scrollHeight));
    const next = mock.place();
    const alert = dialog.getByRole('alert').filter({ hasText: `New order ${next.display_code}` });
    await alert.waitFor();
    await rings(page);
    expect(await isInSight(alert)).toBe(true);
    await alert.getByRole('button', { name: 'Show' }).click();
    await dialog.waitFor({ state: 'detached' });
    await page.waitForFunction((code) => document.activeElement?.getAttribute('data-code') === code, next.display_code);
    expect(await isInSight(card(page, next.display_code))).toBe(true);
  });

  it('of a new order do not announce the order itself until it must be answered', async () => {
    const order = mock.place();
    const page = await stage.board();
    const dialog = await openDetails(page, order.display_code);
    await dialog.getByText(order.contact?.name ?? '').first().waitFor();
    expect(await dialog.getByText('New order').count()).toBe(0);
    mock.change(order.id, { acceptance_due: true });
    const alert = dialog.getByRole('alert').filter({ hasText: `New order ${order.display_code}` });
    await alert.getByText('Answer now').waitFor();
    expect(await alert.getByRole('button').count()).toBe(0);
  });
});

describe('the open rejection of an order', () => {
  it('waits while another tab answers the order, and says how', async () => {
    const order = mock.place();
    const { context, release } = await holdOutbox();
    const [first, second] = [await stage.board({}, context), await stage.board({}, context)];
    await tapAtRest(card(first, order.display_code).getByRole('button', { name: /^Reject/ }));
    const dialog = first.getByRole('dialog');
    await dialog.getByLabel('Too busy').check();
    const confirm = dialog.getByRole('button', { name: 'Reject order' });
    expect(await confirm.isEnabled()).toBe(true);
    await tapAtRest(card(second, order.display_code).getByRole('button', { name: /^Accept/ }));
    await dialog.getByRole('alert').filter({ hasText: /^Accepted, 20\smins?$/ }).waitFor();
    expect(await confirm.isDisabled()).toBe(true);
    expect(await accessibilityProblems(first, 'answered elsewhere')).toEqual([]);
    await tapAtRest(card(second, order.display_code).getByRole('button', { name: /^Undo/ }));
    await dialog.getByText(/^Accepted/).waitFor({ state: 'detached' });
    await confirm.click();
    await dialog.waitFor({ state: 'detached' });
    await release();
    await card(first, order.display_code).waitFor({ state: 'detached' });
    expect(mock.received.map(({ path }) => path)).toEqual([`/v1/orders/${order.id}/reject`]);
  });

  it('says so if the board does not take it, because the browser has not kept an earlier command yet', async () => {
    const order = mock.place({ status: 'preparing' });
    const { context, release } = await holdOutbox();
    const page = await stage.board({}, context);
    const unblock = await blockStorage(page);
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Ready/ }));
    const details = await openDetails(page, order.display_code);
    await details.getByRole('button', { name: 'Cancel order' }).click();
    const dialog = page.getByRole('dialog', { name: `Cancel order ${order.display_code}` });
    await dialog.getByLabel('No courier').check();
    await dialog.getByRole('button', { name: 'Cancel order' }).click();
    await page.getByText('The command could not be kept. Try again.').waitFor();
    await unblock();
    await card(page, order.display_code).getByRole('button', { name: /^Undo/ }).waitFor();
    await release();
    await column(page, 'ready').locator(`[data-code="${order.display_code}"]`).waitFor();
    expect(mock.received.map(({ path }) => path)).toEqual([`/v1/orders/${order.id}/ready`]);
  });
});

describe('every dialog', () => {
  it('shows new orders, a refused command, and data that is not up to date', async () => {
    const order = mock.place({ age: URGENT });
    const page = await stage.board();
    await page.getByRole('button', { name: 'Switch sound on' }).click();
    mock.refuse = () => ({ status: 409, code: 'illegal_move', detail: 'The order does not allow this.' });
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Accept/ }));
    await page.getByText(`Order ${order.display_code} was not accepted.`).waitFor();
    await page.context().setOffline(true);
    await page.getByText(/^No network/).waitFor();
    for (const name of TOOLS) {
      await page.getByRole('button', { name, exact: true }).click();
      const dialog = page.getByRole('dialog');
      for (const text of [`New order ${order.display_code}`, `Order ${order.display_code} was not accepted.`, 'No network']) {
        await dialog.getByRole('alert').filter({ hasText: text }).waitFor();
      }
      expect(await isInSight(dialog.getByRole('button', { name: 'Connect now' })), name).toBe(true);
      await page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'detached' });
    }
  });

  it('lets a person dismiss a notice, and leads to the order that waits', async () => {
    const order = mock.place({ age: URGENT });
    const page = await stage.board();
    await page.getByRole('button', { name: 'Help', exact: true }).click();
    const dialog = page.getByRole('dialog', { name: 'Keys and help' });
    mock.end(mock.place({ status: 'preparing' }).id, 'cancelled', { how: 'cancelled', by: { role: 'customer' }, reason: 'too_slow' });
    await dialog.getByText('Stop preparing it.').waitFor();
    expect(await accessibilityProblems(page, 'help with alerts')).toEqual([]);
    await dialog.getByRole('button', { name: /^Dismiss: / }).click();
    await dialog.getByText('Stop preparing it.').waitFor({ state: 'detached' });
    await dialog.getByRole('button', { name: 'Show' }).click();
    await dialog.waitFor({ state: 'detached' });
    await page.waitForFunction((code) => document.activeElement?.getAttribute('data-code') === code, order.display_code);
  });

  it('names only the orders that came after it was opened, and those that are urgent', async () => {
    mock.place();
    mock.place();
    const page = await stage.board();
    await column(page, 'new').locator('[data-card]').first().waitFor();
    await page.getByRole('button', { name: 'Help', exact: true }).click();
    const dialog = page.getByRole('dialog', { name: 'Keys and help' });
    await dialog.getByText('More or less time').waitFor();
    expect(await dialog.getByText(/new orders?/i).filter({ hasNotText: 'rings' }).count()).toBe(0);
    const next = mock.place();
    await dialog.getByRole('alert').filter({ hasText: `New order ${next.display_code}` }).waitFor();
    const urgent = mock.place({ age: URGENT });
    await dialog.getByRole('alert').filter({ hasText: `2 new orders: ${urgent.display_code}, ${next.display_code}` }).waitFor();
    const gap = await dialog.evaluate((element) => {
      const bar = [...element.querySelectorAll('[role=alert]')].at(-1)?.getBoundingClientRect().bottom ?? 0;
      return (element.querySelector('.rules')?.getBoundingClientRect().top ?? 0) - bar;
    });
    expect(gap).toBeGreaterThanOrEqual(12);
  });

  it('shows the messages of the board above itself', async () => {
    const order = mock.place();
    const { context, release } = await holdOutbox();
    const page = await stage.board({}, context);
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Accept/ }));
    await card(page, order.display_code).getByRole('button', { name: /^Undo/ }).waitFor();
    await page.getByRole('button', { name: 'Help', exact: true }).click();
    const dialog = page.getByRole('dialog');
    // Another device is faster.
    mock.change(order.id, { status: 'preparing' });
    await release();
    const message = dialog.getByRole('status').getByText(`Order ${order.display_code} was accepted on another device.`);
    await message.waitFor();
    expect(await isInSight(message)).toBe(true);
    await page.keyboard.press('Escape');
    await page.getByRole('status').getByText('was accepted on another device.').waitFor();
  });
});

it('a new order rings under a dialog until it is answered', async () => {
  const page = await openAudible();
  await page.getByRole('button', { name: 'Settings', exact: true }).click();
  await page.getByRole('dialog').waitFor();
  const order = mock.place({ age: URGENT });
  await rings(page);
  await page.getByRole('dialog').getByRole('button', { name: 'Show' }).click();
  await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Accept/ }));
  await column(page, 'preparing').locator(`[data-code="${order.display_code}"]`).waitFor();
  await isSilent(page);
});
