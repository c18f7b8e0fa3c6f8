// What a cook sees and taps while there are many orders, and how a command is taken back. The server is a stand-in here.
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { calm } from '../mock/open';
import { accessibilityProblems, smallTargets } from './accessible';
import { tapAtRest } from './held';
import { card, column, holdOutbox, mock, openAudible, stage, useStage } from './stage';

useStage();

/** Minimum size of a target on the board, in pixels. */
const TARGET = 56;
const TABLET = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

const acceptButton = (page: Page, code: string) => card(page, code).getByRole('button', { name: /^Accept/ });
const undoButton = (page: Page, code: string) => card(page, code).getByRole('button', { name: /^Undo/ });
const toggle = (page: Page, code: string) => card(page, code).getByRole('button', { name: `All of order ${code}` });
const height = async (page: Page, code: string) => (await card(page, code).boundingBox())?.height ?? 0;

/** Number of new orders that are in sight with all of their button. */
const inSight = (page: Page) =>
  page.evaluate(() => {
    const view = document.querySelector('[data-column=new] .scroll')?.getBoundingClientRect();
    const buttons = [...document.querySelectorAll('[data-column=new] [data-key="a"] button')].map((button) => button.getBoundingClientRect());
    return buttons.filter(({ top, bottom }) => view !== undefined && top >= view.top && bottom <= view.bottom).length;
  });

/** Places new orders, the oldest first. Returns their codes. */
const placeMany = (count: number) => Array.from({ length: count }, (_, index) => mock.place({ age: 300 - index, lines: 3 }).display_code);

/** Taps the middle of a button, and returns the point. */
async function tapMiddle(page: Page, button: ReturnType<typeof acceptButton>): Promise<{ x: number; y: number }> {
  const box = await button.boundingBox();
  if (box === null) throw new Error('There is no button.');
  const point = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  await page.mouse.click(point.x, point.y);
  return point;
}

describe('many new orders', () => {
  it('are in sight as a list, each with its accept, and open by a tap', async () => {
    const [first = '', second = '', third = ''] = placeMany(46);
    const { context, release } = await holdOutbox({ viewport: TABLET });
    const page = await openAudible(await stage.page({}, context));
    await acceptButton(page, second).waitFor();
    await calm(page);
    expect(await inSight(page)).toBeGreaterThanOrEqual(8);
    await card(page, first).getByText('pieces').waitFor();
    const small = await height(page, second);
    // A tap on the card opens it, and moves no command: the next tap on another card counts.
    await toggle(page, second).click();
    await card(page, second).getByRole('group', { name: /^Minutes until ready/ }).waitFor();
    expect(await toggle(page, second).getAttribute('aria-expanded')).toBe('true');
    await tapMiddle(page, acceptButton(page, first));
    await undoButton(page, first).waitFor();
    expect(await height(page, first)).toBeCloseTo(small, 0);
    // The time that a person chose in the open card stays when it closes.
    await card(page, second).getByRole('button', { name: 'More', exact: true }).click();
    await toggle(page, second).click();
    await acceptButton(page, second).getByText('25 min').waitFor();
    expect(await height(page, second)).toBeCloseTo(small, 0);
    await acceptButton(page, third).waitFor();
    expect(await accessibilityProblems(page, 'many orders')).toEqual([]);
    expect(await smallTargets(page, TARGET)).toEqual([]);
    await release();
    await column(page, 'preparing').locator(`[data-code="${first}"]`).waitFor();
  });

  it('are full again once they fit, and are full for the keyboard', async () => {
    const [first = '', second = '', ...rest] = placeMany(5);
    const page = await openAudible(undefined, { viewport: TABLET });
    await toggle(page, first).waitFor();
    const small = await height(page, second);
    await page.keyboard.press('1');
    await card(page, first).getByRole('button', { name: /^Reject/ }).waitFor();
    await page.keyboard.press('ArrowDown');
    await card(page, second).getByRole('button', { name: /^Reject/ }).waitFor();
    expect(await height(page, first)).toBeCloseTo(small, 0);
    await page.keyboard.press('+');
    await card(page, second).getByText('25 min').waitFor();
    for (const { id, display_code: code } of [...mock.orders.values()]) {
      if (rest.includes(code)) mock.end(id, 'cancelled', { how: 'cancelled', by: { role: 'customer' }, reason: 'other' });
    }
    await card(page, first).getByRole('button', { name: /^Reject/ }).waitFor();
    expect(await toggle(page, first).count()).toBe(0);
  });

  it('fit on a phone from right to left', async () => {
    placeMany(20);
    const page = await stage.board({ viewport: PHONE, locale: 'ar', colorScheme: 'dark' });
    await page.locator('.toggle').first().waitFor();
    expect(await inSight(page)).toBeGreaterThanOrEqual(5);
    expect(await accessibilityProblems(page, 'many orders on a phone')).toEqual([]);
    expect(await smallTargets(page, TARGET)).toEqual([]);
  });
});

it('the columns keep their widths, whatever is in them', async () => {
  const page = await stage.board({ viewport: TABLET });
  const widths = () => page.locator('[data-column]').evaluateAll((all) => all.map((each) => Math.round(each.getBoundingClientRect().width)));
  const empty = await widths();
  const order = mock.place({ lines: 3 });
  for (const status of ['preparing', 'ready_for_pickup'] as const) {
    await card(page, order.display_code).waitFor();
    expect(await widths()).toEqual(empty);
    mock.change(order.id, { status });
    await column(page, status === 'preparing' ? 'preparing' : 'ready').locator('[data-card]').waitFor();
  }
  for (let index = 0; index < 20; index += 1) mock.place();
  await page.locator('.toggle').first().waitFor();
  expect(await widths()).toEqual(empty);
});

describe('a second tap where the command was', () => {
  it.each([
    ['a new order', 1, 'new', 'a'],
    ['a new order of many', 9, 'new', 'a'],
    ['an order in preparation', 1, 'preparing', 'd'],
    ['an order in preparation of many', 9, 'preparing', 'd'],
  ] as const)('takes nothing back: %s', async (_, count, name, key) => {
    for (let index = 0; index < count; index += 1) mock.place({ age: 100 - index, lines: 1, ...(name === 'new' ? {} : { status: 'preparing' }) });
    const { context } = await holdOutbox({ viewport: TABLET });
    const page = await openAudible(await stage.page({}, context));
    await calm(page);
    const chosen = column(page, name).locator('[data-card]').first();
    const code = (await chosen.getAttribute('data-code')) ?? '';
    const before = await height(page, code);
    const point = await tapMiddle(page, chosen.locator(`[data-key="${key}"] button`));
    await undoButton(page, code).waitFor();
    expect(await height(page, code)).toBeCloseTo(before, 0);
    // A slow double tap: Undo would count now.
    await new Promise((done) => setTimeout(done, 700));
    await page.mouse.click(point.x, point.y);
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    expect(await undoButton(page, code).count()).toBe(1);
    await tapAtRest(undoButton(page, code));
    await undoButton(page, code).waitFor({ state: 'detached' });
    expect(mock.received).toEqual([]);
  });
});

it('a line says that its item was switched off, until it is switched on', async () => {
  mock.items.clear();
  const order = mock.place({ lines: 1 });
  const [line] = order.lines;
  if (line === undefined) throw new Error('The order has no line.');
  const page = await stage.board({ viewport: TABLET });
  const mark = card(page, order.display_code).getByText('Off now');
  await card(page, order.display_code).waitFor();
  expect(await mark.count()).toBe(0);
  const change = async (action: string) => {
    await page.getByRole('button', { name: 'Items', exact: true }).click();
    await page.getByRole('button', { name: `${action}, ${line.name}`, exact: true }).click();
    const confirm = page.getByRole('dialog').getByRole('button', { name: 'Switch off', exact: true });
    if (action.startsWith('Details')) await confirm.click();
    await page.keyboard.press('Escape');
  };
  await change('Details');
  await mark.waitFor();
  expect(await accessibilityProblems(page, 'an item that is off')).toEqual([]);
  await change('Switch on');
  await mark.waitFor({ state: 'detached' });
});

describe('without a connection', () => {
  it('a command waits, says so, and can be taken back after the time to undo', async () => {
    const [undone, kept] = [mock.place({ age: 30 }), mock.place({ age: 20 })];
    const page = await openAudible();
    await calm(page);
    stage.front.disconnect();
    // The bar moves the cards.
    await page.getByText(/^Not up to date since/).waitFor();
    await calm(page);
    await tapAtRest(acceptButton(page, undone.display_code));
    await tapAtRest(acceptButton(page, kept.display_code));
    // Without the countdown, the time to undo is over, and nothing was sent.
    for (const { display_code: code } of [undone, kept]) {
      await card(page, code).getByRole('button', { name: `Undo, ${code}` }).waitFor();
      await card(page, code).getByText('Not sent yet').waitFor();
    }
    expect(await accessibilityProblems(page, 'unsent command')).toEqual([]);
    await tapAtRest(undoButton(page, undone.display_code));
    await acceptButton(page, undone.display_code).waitFor();
    stage.front.connect();
    await column(page, 'preparing').locator(`[data-code="${kept.display_code}"]`).waitFor({ timeout: 30_000 });
    expect(mock.received.map(({ path }) => path)).toEqual([`/v1/orders/${kept.id}/accept`]);
  });
});
