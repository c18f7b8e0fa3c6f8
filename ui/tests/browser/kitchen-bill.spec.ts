// What an order costs, on the board and on paper. The server is a stand-in here.
import type { Locator, Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { CHARGED } from '../mock/orders';
import { accessibilityProblems } from './accessible';
import { billRows, plain } from './bill';
import { tapAtRest } from './held';
import { card, mock, stage, useStage } from './stage';

useStage();

const CHANGES = { ...CHARGED, payment: { method: 'cash', status: 'pending', captured: 0, refunded: 0 } } as const;
const ROWS = [
  ['Items', '£20.00'],
  ['Delivery', '£2.50'],
  ['Service charge', '£1.00'],
  ['رسم الكيس', '£0.25'],
  ['City tax 8.875%', '£1.78'],
];
const INCLUDED = 'Includes VAT 20%: £3.33';

/** Opens the details of a new order with fees and taxes. */
async function openDetails(page: Page): Promise<Locator> {
  const { display_code: code } = mock.place({ status: 'preparing', collection: false, changes: { ...CHANGES } });
  await tapAtRest(card(page, code).getByRole('button', { name: `More for ${code}` }));
  const dialog = page.getByRole('dialog', { name: `Order ${code}` });
  await dialog.waitFor();
  return dialog;
}

describe('an order with fees and taxes', () => {
  it('shows each of them by its name in its details', async () => {
    const page = await stage.board();
    const dialog = await openDetails(page);
    expect(await billRows(dialog.locator('dl').last())).toEqual([...ROWS, ['Total', '£25.53'], ['Collect in cash', '£25.53']]);
    await dialog.getByText(/^Includes .*VAT.* 20%: £3\.33$/).waitFor();
    expect(await accessibilityProblems(page, 'fees and taxes')).toEqual([]);
  });

  it.each(['80', '58'])('prints them on paper of %s mm', async (width) => {
    const page = await stage.board();
    // The dialog stays open.
    await page.evaluate(() => void (globalThis.print = () => undefined));
    await page.getByRole('button', { name: 'Settings', exact: true }).click();
    await page.getByLabel(`${width} mm`).check();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    const dialog = await openDetails(page);
    await dialog.getByRole('button', { name: 'Print' }).click();
    const ticket = page.locator('[data-ticket]');
    await ticket.waitFor({ state: 'attached' });
    await page.emulateMedia({ media: 'print' });
    expect(await billRows(ticket.locator('dl'))).toEqual([...ROWS, ['Collect in cash', '£25.53']]);
    expect(await ticket.innerText().then(plain)).toContain(INCLUDED);
    expect(await ticket.evaluate((element) => element.scrollWidth - element.clientWidth)).toBe(0);
  });
});
