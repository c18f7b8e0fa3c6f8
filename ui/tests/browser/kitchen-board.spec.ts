// What the board does on its own: taps, undo, ringing, keys, tabs, staleness. The server is a stand-in here;
// `kitchen.spec.ts` has the real one.
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { KITCHEN, OTHER_HOST } from '../mock/open';
import { tapAtRest } from './held';
import { waitUntilKept } from './kept';
import { watchFor } from './seen';
import { card, column, holdOutbox, mock, stage, URGENT, useStage } from './stage';

useStage();

const commands = () => mock.received.map(({ path }) => path.split('/').slice(-1)[0]);
const until = async (condition: () => boolean, what: string, limit = 15_000) => {
  const end = Date.now() + limit;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`Not within ${limit} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
};

describe('a command', () => {
  it('waits five seconds and can be undone; then the server gets it once', async () => {
    const order = mock.place({ age: 30 });
    const { context, release } = await holdOutbox();
    const page = await stage.board({}, context);
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Accept/ }));
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Undo/ }));
    await card(page, order.display_code).getByRole('button', { name: /^Accept/ }).waitFor();
    // A command that was not undone is sent now, before the one below.
    await release();
    const tapped = await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Accept/ }));
    await column(page, 'preparing').locator(`[data-code="${order.display_code}"]`).waitFor();
    expect(Date.now() - tapped).toBeGreaterThanOrEqual(4_900);
    expect(mock.received).toMatchObject([{ body: { preparation_minutes: 20 } }]);
  });

  it('is sent once by a double tap, and at once if the order would expire meanwhile', async () => {
    const order = mock.place({ age: URGENT });
    const page = await stage.board();
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Accept/ }), 'dblclick');
    await column(page, 'preparing').locator(`[data-code="${order.display_code}"]`).waitFor();
    expect(commands()).toEqual(['accept']);
  });

  it('takes the time of the stepper, and suggests it for the next order', async () => {
    const order = mock.place({ age: URGENT });
    const page = await stage.board();
    const first = card(page, order.display_code);
    await tapAtRest(first.getByRole('button', { name: 'More', exact: true }));
    await tapAtRest(first.getByRole('button', { name: 'More', exact: true }));
    await tapAtRest(first.getByRole('button', { name: /^Accept/ }));
    await until(() => mock.received.length === 1, 'the command');
    expect(mock.received[0]?.body).toEqual({ preparation_minutes: 30 });
    const next = mock.place();
    await card(page, next.display_code).getByText('30 min').waitFor();
  });

  it('that another device gave before is no error', async () => {
    const order = mock.place({ age: URGENT });
    const page = await stage.board();
    const refused = await watchFor(page, 'was not accepted');
    mock.refuse = () => ({ status: 409, code: 'already_accepted' });
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Accept/ }));
    await page.getByText(`Order ${order.display_code} was accepted on another device.`).waitFor();
    expect(await refused()).toBe(false);
  });

  it('that another device gave before, and that the server refuses as illegal, is no error', async () => {
    const order = mock.place({ age: URGENT });
    const page = await stage.board();
    const refused = await watchFor(page, 'was not accepted');
    mock.silent = true;
    mock.change(order.id, { status: 'preparing', ready_by: new Date(Date.now() + 900_000).toISOString() });
    mock.silent = false;
    mock.refuse = () => ({ status: 409, code: 'illegal_move' });
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Accept/ }));
    await page.getByText(`Order ${order.display_code} was accepted on another device.`).waitFor();
    await column(page, 'preparing').locator(`[data-code="${order.display_code}"]`).waitFor();
    expect(await refused()).toBe(false);
  });

  it('that is refused is shown until it is dismissed, also after a reload', async () => {
    const order = mock.place({ age: URGENT });
    const page = await stage.board();
    mock.refuse = () => ({ status: 403, code: 'forbidden' });
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Accept/ }));
    await page.getByText(`Order ${order.display_code} was not accepted.`).waitFor();
    await page.reload();
    await page.getByText('Your account may not do this.').waitFor();
    await tapAtRest(page.getByRole('button', { name: /^Dismiss: / }));
    await page.getByText('was not accepted').waitFor({ state: 'detached' });
  });

  it('rejects with the unavailable items and their end', async () => {
    const order = mock.place({ age: 60, lines: 1 });
    const page = await stage.board();
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Reject/ }));
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Item unavailable').check();
    await dialog.getByRole('button', { name: 'Reject order' }).click();
    await dialog.getByText('Choose at least one item.').waitFor();
    await dialog.getByLabel(order.lines[0]?.name ?? '').check();
    await dialog.getByLabel('Until switched on').check();
    await dialog.getByRole('button', { name: 'Reject order' }).click();
    await until(() => mock.received.length === 1, 'the command');
    expect(mock.received[0]?.body).toEqual({ reason: 'item_unavailable', items: [{ item: order.lines[0]?.item }] });
    await card(page, order.display_code).waitFor({ state: 'detached' });
    // The device that ended the order needs no notice of it.
    expect(await page.getByText('Stop preparing it.').count()).toBe(0);
  });

  it('leads an order to the customer, one tap each', async () => {
    const order = mock.place({ status: 'preparing', collection: true });
    const page = await stage.board();
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Ready/ }));
    await column(page, 'ready').locator(`[data-code="${order.display_code}"]`).waitFor();
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Handed over/ }));
    await card(page, order.display_code).waitFor({ state: 'detached' });
    expect(commands()).toEqual(['ready', 'deliver']);
  });

  it('changes the restaurant, items and stock at once', async () => {
    const page = await stage.board();
    await page.getByRole('button', { name: 'Pause', exact: true }).click();
    await page.getByLabel('Until resumed').check();
    await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).click();
    await page.getByText('Paused').waitFor();
    await page.getByRole('button', { name: 'Resume' }).click();
    await page.getByText('Open', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Items' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Switch on, Dal Makhani' }).click();
    await dialog.getByText(/Off until/).waitFor({ state: 'detached' });
    await dialog.getByRole('button', { name: 'Details, Garlic Naan' }).click();
    await dialog.getByRole('group', { name: 'Stock of Garlic Naan' }).getByRole('button', { name: 'Less' }).click();
    await dialog.getByText('Stock: 13').waitFor();
    await dialog.getByLabel('1 hour').check();
    await dialog.getByRole('button', { name: 'Switch off' }).click();
    await dialog.getByText(/Off until/).waitFor();
    expect(commands()).toEqual(['pause', 'resume', 'availability', 'adjust', 'availability']);
    expect(mock.received[3]?.body).toEqual({ by: -1 });
  });
});

describe('an order that ends', () => {
  it('under its dialog says so there, and cannot be rejected any more', async () => {
    const order = mock.place({ age: 60 });
    const page = await stage.board();
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Reject/ }));
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Too busy').check();
    const confirm = dialog.getByRole('button', { name: 'Reject order' });
    expect(await confirm.isEnabled()).toBe(true);
    mock.change(order.id, { status: 'preparing', ready_by: new Date(Date.now() + 900_000).toISOString() });
    await dialog.getByText('The order is now: Being prepared.').waitFor();
    expect(await confirm.isDisabled()).toBe(true);
    await dialog.getByRole('button', { name: 'Close' }).last().click();
    await column(page, 'preparing').locator(`[data-code="${order.display_code}"]`).waitFor();
    expect(mock.received).toEqual([]);
  });

  it('stays in a notice until it is dismissed, also after a reload', async () => {
    const order = mock.place({ status: 'preparing' });
    const page = await stage.board();
    await card(page, order.display_code).waitFor();
    mock.end(order.id, 'cancelled', { how: 'cancelled', by: { role: 'customer' }, reason: 'too_slow' });
    await page.getByText('Stop preparing it.').waitFor();
    await page.reload();
    await page.getByText('Stop preparing it.').waitFor();
    await tapAtRest(page.getByRole('button', { name: `Dismiss: ${order.display_code}` }));
    await page.getByText('Stop preparing it.').waitFor({ state: 'detached' });
    await page.reload();
    await page.getByText('Live', { exact: true }).waitFor();
    expect(await page.getByText('Stop preparing it.').count()).toBe(0);
  });
});

describe('a warning of the server', () => {
  it('is shown by word, shape and colour, and announced', async () => {
    const order = mock.place({ age: 30 });
    const page = await stage.board();
    await card(page, order.display_code).waitFor();
    expect(await card(page, order.display_code).getByText('Answer now').count()).toBe(0);
    mock.change(order.id, { acceptance_due: true });
    await card(page, order.display_code).getByText('Answer now').waitFor();
    await page.getByText(`Order ${order.display_code} must be answered now.`).waitFor();
    mock.change(order.id, { acceptance_deadline: new Date(Date.now() - 1_000).toISOString() });
    await card(page, order.display_code).getByText('Late').waitFor();
    // It may still be accepted, as long as it has not expired.
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Accept/ }));
    await column(page, 'preparing').locator(`[data-code="${order.display_code}"]`).waitFor();
  });
});

/** Types a code within one task, because this machine may be too busy to type as fast as a scanner. Returns whether Enter pressed nothing. */
const scan = (page: Page, code: string) =>
  page.evaluate((keys) => {
    const type = (key: string) => {
      const event = new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true });
      document.activeElement?.dispatchEvent(event);
      return event.defaultPrevented;
    };
    return [...keys, 'Enter'].map(type).at(-1);
  }, [...code]);

describe('keys', () => {
  it('work the whole board', async () => {
    const first = mock.place({ age: URGENT, lines: 1 });
    const second = mock.place({ age: 100, lines: 1 });
    const cooking = mock.place({ status: 'preparing', readyIn: 900 });
    const page = await stage.board();
    const focused = () => page.evaluate(() => (document.activeElement as HTMLElement).dataset['code']);
    const focus = (code: string) =>
      page.waitForFunction((wanted) => (document.activeElement as HTMLElement).dataset['code'] === wanted, code);
    await page.keyboard.press('a');
    // The first letter only selects.
    await focus(first.display_code);
    expect(mock.received).toEqual([]);
    await page.keyboard.press('+');
    await card(page, first.display_code).getByText('25 min').waitFor();
    await page.keyboard.press('a');
    await column(page, 'preparing').locator(`[data-code="${first.display_code}"]`).waitFor();
    // The focus stays in the column.
    await focus(second.display_code);
    await page.keyboard.press('r');
    await page.getByRole('dialog', { name: `Reject order ${second.display_code}` }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await focus(second.display_code);
    await page.keyboard.press('ArrowRight');
    await page.waitForFunction(() => document.activeElement?.closest('[data-column="preparing"]') !== null);
    expect(await focused()).not.toBe(second.display_code);
    await page.keyboard.press('1');
    await focus(second.display_code);
    await page.keyboard.press('/');
    await page.waitForFunction(() => document.activeElement?.matches('input[type=search]'));
    await page.keyboard.type(cooking.display_code.toLowerCase(), { delay: 100 });
    await column(page, 'ready').or(column(page, 'preparing')).getByText(/of \d+ orders? match/).first().waitFor({ state: 'attached' });
    // A search hides no new order.
    await card(page, second.display_code).waitFor();
    await page.keyboard.press('Escape');
    // Escape leads from the search to the order that was found.
    await page.waitForFunction((code) => (document.activeElement as HTMLElement).dataset['code'] === code, cooking.display_code);
    await page.keyboard.press('End');
    await page.keyboard.press('Home');
    // The first order that is prepared is taken back before it is sent.
    const { release } = await holdOutbox({}, page.context());
    await page.reload();
    await card(page, cooking.display_code).waitFor();
    await page.keyboard.press('2');
    await focus(cooking.display_code);
    await page.keyboard.press('d');
    await page.getByRole('button', { name: /^Undo/ }).waitFor();
    await page.keyboard.press('z');
    await page.getByText('Taken back.').waitFor();
    await release();
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys and help' }).waitFor();
    expect(commands()).toEqual(['accept']);
  });

  it('of a scanner press nothing, and find the order of a code', async () => {
    const order = mock.place({ age: 60 });
    const other = mock.place({ age: 50 });
    const page = await stage.board();
    await card(page, order.display_code).getByRole('button', { name: /^Accept/ }).focus();
    await page.keyboard.press('Enter');
    expect(await scan(page, other.display_code)).toBe(true);
    await page.waitForFunction((code) => (document.activeElement as HTMLElement).dataset['code'] === code, other.display_code);
    await page.getByRole('button', { name: 'Help' }).focus();
    expect(await scan(page, 'ARDZ0')).toBe(true);
    await page.getByText('No open order has the code ARDZ0.').waitFor();
    expect(await page.getByRole('dialog').count()).toBe(0);
    expect(await page.getByRole('button', { name: /^Undo/ }).count()).toBe(0);
    expect(mock.received).toEqual([]);
  });
});

describe('the connection', () => {
  it('that was lost shows how orders ended meanwhile', async () => {
    const expired = mock.place({ age: 60 });
    const kept = mock.place({ age: 50 });
    const page = await stage.board();
    await card(page, kept.display_code).waitFor();
    stage.front.disconnect();
    mock.end(expired.id, 'cancelled', { how: 'expired', waited_for: 'acceptance' });
    stage.front.connect();
    await page.getByText(`Order ${expired.display_code} expired: nobody accepted it in time.`).waitFor();
    await card(page, expired.display_code).waitFor({ state: 'detached' });
  });

  it('that missed a change is noticed by the heartbeat', async () => {
    const order = mock.place({ age: 60 });
    const page = await stage.board();
    await card(page, order.display_code).waitFor();
    mock.silent = true;
    mock.change(order.id, { status: 'preparing', ready_by: new Date(Date.now() + 900_000).toISOString() });
    mock.silent = false;
    mock.beat();
    await column(page, 'preparing').locator(`[data-code="${order.display_code}"]`).waitFor();
  });

  it('is one for all tabs, and another tab takes over', async () => {
    mock.place();
    const first = await stage.board();
    const tabs = await Promise.all(Array.from({ length: 7 }, () => stage.board({}, first.context())));
    const order = mock.place();
    for (const tab of [first, ...tabs]) await card(tab, order.display_code).waitFor();
    await until(() => mock.streams === 1, 'one stream');
    await first.close();
    const later = mock.place();
    for (const tab of tabs) await card(tab, later.display_code).waitFor();
    await until(() => mock.streams === 1, 'one stream');
  });

  it('that is lost has the same time in a tab that opens later', async () => {
    mock.place();
    const first = await stage.page();
    // The later tab opens minutes after the last message.
    await first.context().clock.install();
    await first.goto(KITCHEN);
    await first.getByText('Live', { exact: true }).waitFor();
    const since = (page: Page) => page.getByText(/^Not up to date since/);
    const minutes = async (page: Page) => {
      const [, hour, minute] = /(\d\d):(\d\d)/.exec((await since(page).textContent()) ?? '') ?? [];
      return Number(hour) * 60 + Number(minute);
    };
    const answer = stage.front.intercept;
    stage.front.intercept = (request, response) => {
      if (request.url?.includes('/board/stream') !== true) return answer(request, response);
      response.writeHead(503).end();
      return true;
    };
    try {
      mock.close();
      await since(first).waitFor();
      const lost = await minutes(first);
      // The message between the tabs takes a moment, which may lead into another minute.
      const isLost = async (page: Page) => [1_439, 0, 1].includes((1_440 + (await minutes(page)) - lost) % 1_440);
      await first.context().clock.fastForward(10 * 60_000);
      const second = await stage.board({}, first.context());
      await since(second).waitFor();
      await expect.poll(() => isLost(second)).toBe(true);
      // Also after a reload, with what the later tab has kept.
      await first.close();
      await second.reload();
      await since(second).waitFor();
      await expect.poll(() => isLost(second)).toBe(true);
    } finally {
      stage.front.intercept = answer;
    }
  });

  it('is not needed to read and to reload the board', async () => {
    const order = mock.place();
    const page = await stage.board();
    await card(page, order.display_code).waitFor();
    await waitUntilKept(page, '/kitchen/-');
    stage.front.disconnect();
    await page.reload();
    await card(page, order.display_code).waitFor();
    await page.getByText(/Not up to date since/).waitFor();
  });

  it('ends with the session: no order stays on the screen', async () => {
    const order = mock.place();
    const page = await stage.board();
    await card(page, order.display_code).waitFor();
    mock.revoke();
    await page.getByText('You are signed out').waitFor();
    expect(await card(page, order.display_code).count()).toBe(0);
    expect(await page.getByRole('link', { name: 'Sign in' }).getAttribute('href')).toBe(`/login#next=${encodeURIComponent(KITCHEN)}`);
  });
});

describe('the page', () => {
  it('offers a new version, and never reloads by itself', async () => {
    const page = await stage.board();
    await page.evaluate(() => Object.assign(globalThis, { loadedOnce: true }));
    mock.build = 'mock-2';
    mock.beat();
    await page.getByText(/^A new version is ready/).waitFor();
    expect(await page.evaluate(() => 'loadedOnce' in globalThis)).toBe(true);
  });

  it.each(['00:40', '13:05'])('at %s counts by the server’s time and shows the restaurant’s, whatever the device says', async (hour) => {
    const london = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', timeZone: 'Europe/London' });
    const minutes = (text: string) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
    mock.ahead = (minutes(hour) - minutes(london.format(new Date()))) * 60_000;
    const order = mock.place({ age: 180 });
    const page = await stage.page({ timezoneId: 'Asia/Tokyo' });
    await page.clock.setFixedTime(Date.now() + 7_200_000);
    await page.goto(KITCHEN);
    // Five minutes are left when the order is placed, and fewer when the page is open.
    await card(page, order.display_code).getByRole('timer').filter({ hasText: /5:00|[34]:[0-5]\d/ }).waitFor();
    const placed = london.format(new Date(order.placed_at));
    await card(page, order.display_code).getByText(`Placed ${placed}`, { exact: true }).waitFor();
  });

  it('over plain HTTP from another host says what is missing', async () => {
    const order = mock.place({ age: URGENT });
    const page = await stage.page();
    await page.goto(`http://${OTHER_HOST}:${new URL(stage.front.origin).port}${KITCHEN}`);
    await page.getByText(/^This page came over plain HTTP/).waitFor();
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Accept/ }));
    await until(() => mock.received.length === 1, 'the command');
  });

  it('runs no script that a text contains', async () => {
    const evil = '<img src=x onerror="globalThis.hacked=1"><script>globalThis.hacked=1</script>';
    mock.restaurant = { ...mock.restaurant, name: evil };
    mock.additional.push({ id: 'evil', name: evil });
    const order = mock.place({ collection: false, lines: 1, changes: { note: evil, contact: { name: evil } } });
    const line = { ...order.lines[0], name: evil, note: evil, options: [{ group: 'g', option: 'o', name: evil, price: 0 }] };
    mock.change(order.id, { lines: [line] as typeof order.lines });
    const page = await stage.board();
    await card(page, order.display_code).getByText(evil).first().waitFor();
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^More for/ }));
    await page.getByRole('dialog').getByText(evil).first().waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Items' }).click();
    await page.getByRole('dialog').getByText(evil).first().waitFor();
    expect(await page.evaluate(() => 'hacked' in globalThis)).toBe(false);
  });

  it('prints tickets on the chosen paper, by hand and on accept', async () => {
    const order = mock.place({ age: URGENT, collection: true });
    const page = await stage.page();
    await page.addInitScript(() => {
      const printed: string[] = [];
      Object.assign(globalThis, { printed });
      globalThis.print = () => {
        const rules = document.adoptedStyleSheets.flatMap((sheet) => [...sheet.cssRules].map((rule) => rule.cssText));
        printed.push(`${document.querySelector('[data-ticket]')?.textContent} ${rules.join()}`);
        dispatchEvent(new Event('afterprint'));
      };
    });
    const printed = () => page.evaluate(() => (globalThis as unknown as { printed: string[] }).printed);
    await page.goto(KITCHEN);
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByLabel('58 mm').check();
    await page.getByLabel('Print when an order is accepted').check();
    await page.keyboard.press('Escape');
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Accept/ }));
    await page.waitForFunction(() => (globalThis as unknown as { printed: string[] }).printed.length === 1);
    expect((await printed())[0]).toContain(order.display_code);
    expect((await printed())[0]).toMatch(/size: 58mm \d+mm/);
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^More for/ }));
    await page.getByRole('dialog').getByRole('button', { name: 'Print' }).click();
    await page.waitForFunction(() => (globalThis as unknown as { printed: string[] }).printed.length === 2);
    expect(await page.locator('[data-ticket]').count()).toBe(0);
  });
});
