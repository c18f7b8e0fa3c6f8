// What a search of the board marks and where it leads. The server is a stand-in here.
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { accessibilityProblems } from './accessible';
import { card, column, mock, stage, useStage } from './stage';

useStage();

describe('the search', () => {
  const look = (element: HTMLElement) => {
    const { outlineStyle, backgroundColor } = getComputedStyle(element);
    return { outlineStyle, backgroundColor };
  };
  const focus = (page: Page, code: string) =>
    page.waitForFunction((wanted) => (document.activeElement as HTMLElement).dataset['code'] === wanted, code);

  it('marks the new order that it finds and dims the others, and Enter leads to it', async () => {
    const [order] = Array.from({ length: 6 }, (_, index) => mock.place({ age: 60 - index })).slice(-1);
    const code = order?.display_code ?? '';
    const page = await stage.board();
    const other = page.locator(`[data-column=new] [data-card]:not([data-code="${code}"])`);
    await other.first().waitFor();
    const before = await other.first().evaluate(look);
    await page.getByRole('searchbox').fill(code);
    await column(page, 'new').getByText('1 of 6 orders match').waitFor({ state: 'attached' });
    expect(await column(page, 'new').locator('.count').textContent()).toContain('1/6');
    expect(await card(page, code).evaluate(look)).toEqual({ ...before, outlineStyle: 'solid' });
    for (const each of await other.all()) {
      const { outlineStyle, backgroundColor } = await each.evaluate(look);
      expect({ outlineStyle, dimmed: backgroundColor !== before.backgroundColor }).toEqual({ outlineStyle: 'none', dimmed: true });
    }
    expect(await accessibilityProblems(page, 'search with a hit')).toEqual([]);
    await page.keyboard.press('Enter');
    await focus(page, code);
    // Escape shows the others again, and the order keeps the focus.
    await page.keyboard.press('Escape');
    expect(await page.getByRole('searchbox').inputValue()).toBe('');
    await focus(page, code);
    expect(await other.first().evaluate(look)).toEqual(before);
    expect(mock.received).toEqual([]);
  });

  it('leads to an order of another column on a narrow screen', async () => {
    for (let index = 0; index < 9; index += 1) mock.place({ age: 60 });
    for (let index = 0; index < 9; index += 1) mock.place({ status: 'preparing', readyIn: 600 + index });
    const order = mock.place({ status: 'preparing', readyIn: 1_800 });
    const page = await stage.board({ viewport: { width: 820, height: 1180 } });
    await column(page, 'new').locator('[data-card]').first().waitFor();
    await page.getByRole('searchbox').fill(order.display_code.slice(0, 4));
    await page.getByRole('button', { name: /1\/10.*Preparing/ }).waitFor();
    await page.getByRole('button', { name: /0\/9.*New/ }).waitFor();
    await page.keyboard.press('Enter');
    await focus(page, order.display_code);
    const inSight = ({ top, bottom }: DOMRect) => top >= 0 && bottom <= 1180;
    expect(inSight(await card(page, order.display_code).locator('header').evaluate((element) => element.getBoundingClientRect()))).toBe(true);
  });

  it('says that no order matches, and where the orders are that ended', async () => {
    mock.place({ age: 60 });
    const page = await stage.board();
    const none = page.getByRole('status').getByText('No order matches. The last orders that ended are under Recall.');
    await column(page, 'new').locator('[data-card]').waitFor();
    await page.getByRole('searchbox').fill('ZZZZZ');
    await none.waitFor();
    await page.keyboard.press('Enter');
    expect(await page.evaluate(() => document.activeElement?.matches('input[type=search]'))).toBe(true);
    await page.getByRole('searchbox').fill('');
    await none.waitFor({ state: 'detached' });
  });
});
