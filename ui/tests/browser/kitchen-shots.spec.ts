// Screenshots of the kitchen board in the directory that DABBA_SHOTS names.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { Stage } from '../mock/open';

const directory = process.env.DABBA_SHOTS;

describe.skipIf(directory === undefined)('screenshots', () => {
  let stage: Stage;
  beforeAll(async () => {
    mkdirSync(directory as string, { recursive: true });
    stage = await Stage.open();
  });
  afterAll(() => stage.close());

  const shoot = (page: Page, name: string) => page.screenshot({ path: join(directory as string, `${name}.png`) });

  function busy() {
    const mock = stage.reset();
    mock.place({ age: 470, lines: 2, collection: true });
    mock.place({ age: 380, lines: 3 });
    mock.place({ age: 90 });
    mock.place({ age: 10, lines: 1 });
    mock.place({ status: 'preparing', readyIn: -130, lines: 3 });
    mock.place({ status: 'preparing', readyIn: 200 });
    mock.place({ status: 'preparing', readyIn: 900 });
    mock.place({ status: 'ready_for_pickup', readyIn: -700, collection: true });
    mock.place({ status: 'ready_for_pickup', readyIn: 100, collection: false });
    mock.place({ status: 'out_for_delivery', readyIn: -100, collection: false });
    mock.end(mock.place({ lines: 3 }).id, 'delivered');
    mock.end(mock.place({ lines: 2 }).id, 'cancelled', { how: 'expired' });
    mock.end(mock.place({ lines: 1 }).id, 'cancelled', { how: 'rejected', reason: 'too_busy' });
    return mock;
  }

  it('are taken', async () => {
    const mock = busy();
    const tablet = await stage.board({ colorScheme: 'light' });
    await shoot(tablet, 'tablet-locked');
    await tablet.mouse.click(5, 400);
    await tablet.getByText('The sound is off').waitFor({ state: 'detached' });
    await shoot(tablet, 'tablet-light');
    await tablet.locator('[data-key="a"] button').nth(2).click();
    await tablet.getByRole('button', { name: /Undo/ }).waitFor();
    await shoot(tablet, 'tablet-undo');
    for (const [name, button] of [['items', 'Items'], ['recall', 'Recall'], ['settings', 'Settings'], ['help', 'Help'], ['pause', 'Pause']] as const) {
      await tablet.getByRole('button', { name: button, exact: true }).click();
      await tablet.getByRole('dialog').waitFor();
      if (name === 'items') await tablet.getByRole('button', { name: 'Details, Garlic Naan' }).click();
      if (name === 'recall') await tablet.getByText('Expired').waitFor();
      await tablet.waitForTimeout(400);
      await shoot(tablet, `dialog-${name}`);
      await tablet.keyboard.press('Escape');
    }
    await tablet.getByRole('button', { name: /^Reject, / }).first().click();
    await tablet.getByLabel('Item unavailable').check();
    await tablet.waitForTimeout(400);
    await shoot(tablet, 'dialog-end');
    await tablet.keyboard.press('Escape');
    await tablet.locator('[data-column=preparing] [data-key="o"]').first().click();
    await tablet.waitForTimeout(400);
    await shoot(tablet, 'dialog-details');
    await tablet.keyboard.press('Escape');
    const dark = await stage.board({ colorScheme: 'dark' });
    await dark.mouse.click(5, 400);
    await dark.waitForTimeout(300);
    await shoot(dark, 'tablet-dark');
    const phone = await stage.board({ viewport: { width: 390, height: 844 }, hasTouch: true });
    await phone.waitForTimeout(300);
    await shoot(phone, 'phone-light');
    await phone.getByRole('button', { name: 'Menu' }).click();
    await phone.waitForTimeout(400);
    await shoot(phone, 'phone-menu');
    const arabic = await stage.board({ locale: 'ar-EG', colorScheme: 'light' });
    await arabic.mouse.click(5, 400);
    await arabic.waitForTimeout(300);
    await shoot(arabic, 'tablet-arabic');
    const hindi = await stage.board({ locale: 'hi-IN', viewport: { width: 390, height: 844 }, colorScheme: 'dark' });
    await hindi.mouse.click(5, 700);
    await hindi.waitForTimeout(300);
    await shoot(hindi, 'phone-hindi-dark');
    const refused = mock.place({ age: 100 });
    mock.refuse = ({ path }) => (path.includes(refused.id) ? { status: 409, code: 'illegal_move' } : undefined);
    mock.end(mock.place({ status: 'preparing' }).id, 'cancelled', { how: 'cancelled', by: { role: 'customer' }, reason: 'too_slow' });
    await tablet.getByRole('button', { name: `Reject, ${refused.display_code}` }).click();
    await tablet.getByLabel('Too busy').check();
    await tablet.getByRole('button', { name: 'Reject order' }).click();
    mock.refuse = () => ({ status: 422, code: 'invalid', detail: 'preparation_minutes must be a whole number.' });
    await tablet.getByText(/was not rejected/).waitFor();
    await shoot(tablet, 'tablet-refused');
    stage.front.disconnect();
    await tablet.context().setOffline(true);
    await tablet.getByText(/Not up to date since/).waitFor();
    await shoot(tablet, 'tablet-offline');
    stage.front.connect();
    stage.reset();
    const empty = await stage.board();
    await empty.mouse.click(5, 400);
    await empty.waitForTimeout(300);
    await shoot(empty, 'tablet-empty');
    await empty.setViewportSize({ width: 320, height: 256 });
    await empty.waitForTimeout(300);
    await shoot(empty, 'zoom-400');
  }, 120_000);
});
