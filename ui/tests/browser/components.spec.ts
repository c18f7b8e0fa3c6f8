import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { accessibilityProblems, smallTargets } from './accessible';
import { serveFixture } from './fixture';
import { openSite, type Site } from './site';

let site: Site;
let path: string;

beforeAll(async () => {
  site = await openSite();
  path = await serveFixture(site.front, 'components');
});
afterEach(() => site.check());
afterAll(() => site.close());

async function open(locale: string): Promise<Page> {
  const page = await site.open({ path, options: { locale } });
  await page.getByRole('heading', { name: 'Components' }).waitFor();
  return page;
}

it.each(['en-GB', 'ar-EG'])('every component is accessible in every appearance, in %s', async (locale) => {
  const page = await open(locale);
  expect(await accessibilityProblems(page, 'all components')).toEqual([]);
  expect(await smallTargets(page, 44)).toEqual([]);
});

it('a dialog takes the focus, closes with Escape, and gives the focus back', async () => {
  const page = await open('en-GB');
  const button = page.getByRole('button', { name: 'Open the dialog' });
  await button.click();
  const dialog = page.getByRole('dialog', { name: 'Reject order K7M3Q?' });
  await dialog.waitFor();
  expect(await dialog.evaluate((element) => element.contains(document.activeElement))).toBe(true);
  expect(await accessibilityProblems(page, 'dialog')).toEqual([]);
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  expect(await button.evaluate((element) => element === document.activeElement)).toBe(true);
});

it('a tap outside closes a dialog, and a tap inside does not', async () => {
  const page = await open('en-GB');
  await page.getByRole('button', { name: 'Open the dialog' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('The customer gets the money back.').click();
  expect(await dialog.isVisible()).toBe(true);
  await page.mouse.click(5, 5);
  await dialog.waitFor({ state: 'hidden' });
});

it('a toast without a duration stays until it is dismissed', async () => {
  const page = await open('en-GB');
  await page.getByRole('button', { name: 'Show a toast' }).click();
  await page.getByText('Order K7M3Q was accepted.').waitFor();
  expect(await accessibilityProblems(page, 'toast')).toEqual([]);
  await page.getByRole('button', { name: 'Dismiss' }).click();
  await page.getByText('Order K7M3Q was accepted.').waitFor({ state: 'detached' });
});

it.each([
  ['a phone', 390, 844],
  ['a tablet', 1024, 768],
  ['a window at 400 %', 320, 256],
])('a toast never lies on the controls of a dialog, on %s', async (_, width, height) => {
  const page = await open('en-GB');
  await page.setViewportSize({ width, height });
  await page.getByRole('button', { name: 'Open the dialog' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Take back' }).click();
  await dialog.getByText('Taken back.').waitFor();
  expect(await accessibilityProblems(page, 'toast in a dialog')).toEqual([]);
  for (const name of ['Reject', 'Keep']) {
    const button = dialog.getByRole('button', { name });
    await button.scrollIntoViewIfNeeded();
    const isFree = await button.evaluate((element) => {
      const { left, top, right, bottom } = element.getBoundingClientRect();
      const corners = [[left + 4, top + 4], [right - 4, top + 4], [left + 4, bottom - 4], [right - 4, bottom - 4]] as const;
      return corners.every(([x, y]) => element.contains(document.elementFromPoint(x, y)));
    });
    expect(isFree, name).toBe(true);
  }
  await dialog.getByRole('button', { name: 'Keep' }).click();
  await dialog.waitFor({ state: 'hidden' });
});

it('a stepper stays within its limits, and announces its value', async () => {
  const page = await open('en-GB');
  const stepper = page.getByRole('group', { name: 'Minutes until ready' });
  const less = stepper.getByRole('button', { name: 'Less' });
  for (let tap = 0; tap < 3; tap += 1) await less.click();
  await stepper.getByText(/^5\smin/).waitFor();
  expect(await less.isDisabled()).toBe(true);
  // The keyboard goes on from the button that has done its part.
  expect(await less.evaluate((button) => button === document.activeElement)).toBe(true);
  await page.keyboard.press('Enter');
  await stepper.getByText(/^5\smin/).waitFor();
  await stepper.getByRole('button', { name: 'More' }).click();
  await stepper.getByText(/^10\smin/).waitFor();
});

it('a field has the direction of what is typed, and the page’s while it is empty', async () => {
  const page = await open('ar-EG');
  const field = page.getByLabel('Name', { exact: true });
  const direction = () => field.evaluate((input) => getComputedStyle(input).direction);
  for (const [text, expected] of [['', 'rtl'], ['Asha', 'ltr'], ['أشا', 'rtl']] as const) {
    await field.fill(text);
    await expect.poll(direction).toBe(expected);
  }
});

it('a plot has a table with the same numbers, also where nothing was measured', async () => {
  const page = await open('en-GB');
  await page.getByRole('button', { name: 'Orders as a table' }).click();
  const table = page.getByRole('table', { name: 'Orders per hour' });
  expect(await table.getByRole('row').count()).toBe(26);
  const cells = (row: number) => table.getByRole('row').nth(row).getByRole('cell').allTextContents();
  expect(await table.getByRole('columnheader').allTextContents()).toEqual(['Time', 'Placed', 'Delivered']);
  expect(await cells(5)).toEqual(['–', '–']);
  expect(await cells(1)).toEqual(['60', '18']);
  expect(await accessibilityProblems(page, 'table of a plot')).toEqual([]);
});

it('a plot states the values of a time that the arrow keys or the pointer choose', async () => {
  const page = await open('en-GB');
  const plot = page.getByRole('slider', { name: 'Orders per hour' });
  const text = () => plot.getAttribute('aria-valuetext');
  const shown = page.locator('figure', { hasText: 'Orders per hour' }).locator('.readout');
  // At first the last values.
  expect(await text()).toBe('00:00, Placed 109, Delivered 93');
  await plot.focus();
  await page.keyboard.press('Home');
  expect(await text()).toBe('00:00, Placed 60, Delivered 18');
  expect(await shown.textContent()).toMatch(/Placed 60\s*Delivered 18/);
  for (let press = 0; press < 4; press += 1) await page.keyboard.press('ArrowRight');
  // Nothing was measured.
  expect(await text()).toBe('04:00, Placed –, Delivered –');
  await page.keyboard.press('ArrowLeft');
  expect(await text()).toMatch(/^03:00, Placed 102,/);
  await page.keyboard.press('PageUp');
  expect(await text()).toMatch(/^13:00, /);
  await page.keyboard.press('End');
  await page.keyboard.press('ArrowRight');
  expect(await text()).toBe('00:00, Placed 109, Delivered 93');
  expect(await accessibilityProblems(page, 'chosen time')).toEqual([]);
  // At the middle of the plot, which scrolls into view if the check above has moved it.
  await plot.hover();
  await expect.poll(text).toMatch(/^1[123]:00, /);
  await page.mouse.move(0, 0);
  await expect.poll(text).toBe('00:00, Placed 109, Delivered 93');
});
