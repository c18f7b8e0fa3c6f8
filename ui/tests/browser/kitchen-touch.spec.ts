// What a board does to the ears and under the fingers: ringing in one of several tabs, and nothing that moves under a tap.
// The server is a stand-in here.
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { calm, KITCHEN } from '../mock/open';
import { tapAtRest } from './held';
import { card, column, hasVolume, isSilent, loops, mock, openAudible, recordSound, rings, stage, URGENT, useStage } from './stage';

useStage();

const acceptButton = (page: Page, code: string) => card(page, code).getByRole('button', { name: /^Accept/ });
const commands = () => mock.received.map(({ path }) => path.split('/').slice(-2).join('/'));

describe('ringing', () => {
  it('needs one tap, says so in red, and lasts until every order is answered', async () => {
    const page = await stage.page();
    await recordSound(page);
    const order = mock.place({ age: URGENT });
    await page.goto(KITCHEN);
    await page.getByText('The sound is off.').waitFor();
    expect(await loops(page)).toBe(0);
    await page.getByRole('button', { name: 'Switch sound on' }).click();
    await page.getByText('The sound is off.').waitFor({ state: 'detached' });
    await rings(page);
    await page.waitForFunction(() => document.title.startsWith('(1)'));
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Accept/ }));
    await isSilent(page);
    const next = mock.place();
    await rings(page);
    mock.end(next.id, 'cancelled', { how: 'cancelled', by: { role: 'customer' }, reason: 'changed_mind' });
    await isSilent(page);
    await page.getByText(`Order ${next.display_code}: the customer cancelled.`).waitFor();
  });
});

describe('the first tap', () => {
  it('unlocks the sound and still hits what it was on', async () => {
    const order = mock.place({ age: URGENT });
    const page = await stage.board();
    await page.getByText('The sound is off.').waitFor();
    await card(page, order.display_code).getByRole('button', { name: /^Accept/ }).hover();
    await page.mouse.down();
    // A slow finger: nothing may move while it is down.
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    expect(await page.getByText('The sound is off.').count()).toBe(1);
    await page.mouse.up();
    await page.getByText('The sound is off.').waitFor({ state: 'detached' });
    await column(page, 'preparing').locator(`[data-code="${order.display_code}"]`).waitFor();
  });
});

describe('of two tabs of a browser', () => {
  it('one rings, and the other one once that one closes', async () => {
    const first = await openAudible();
    const second = await openAudible(first);
    const order = mock.place();
    await rings(first);
    await card(second, order.display_code).waitFor();
    await second.waitForFunction(() => document.title.startsWith('(1)'));
    expect(await loops(second)).toBe(0);
    await first.close();
    await rings(second);
    mock.end(order.id, 'cancelled', { how: 'cancelled', by: { role: 'customer' }, reason: 'changed_mind' });
    await isSilent(second);
  });

  it('one rings as loud as a person chooses in the other one', async () => {
    const first = await openAudible();
    const second = await openAudible(first);
    mock.place();
    await rings(first);
    await hasVolume(first, 0.8);
    await second.getByRole('button', { name: 'Settings', exact: true }).click();
    await second.getByRole('group', { name: 'Volume' }).getByRole('button', { name: 'Less' }).click();
    for (const page of [first, second]) await hasVolume(page, 0.6);
    await second.reload();
    await hasVolume(second, 0.6);
  });

  it('the one rings whose sound the browser plays', async () => {
    const locked = await stage.page();
    await recordSound(locked);
    await locked.goto(KITCHEN);
    await locked.getByText('The sound is off.').waitFor();
    const audible = await openAudible(locked);
    mock.place();
    await rings(audible);
    expect(await loops(locked)).toBe(0);
  });
});

/**
 * Taps the place at which a button is now, in the frame in which its card, or without a card any one, has moved. The page
 * does it, because nothing else is that quick.
 */
async function tapWhenMoved(page: Page, code: string | undefined, button: string): Promise<void> {
  await page.evaluate(
    ([code, button]) => {
      const card = document.querySelector(code === undefined ? '[data-card]' : `[data-code="${code}"]`);
      const box = (code === undefined ? document : card)?.querySelector(button ?? '')?.getBoundingClientRect();
      if (card === null || box === undefined) throw new Error('There is no button.');
      const [clientX, clientY] = [box.x + box.width / 2, box.y + box.height / 2];
      const before = card.getBoundingClientRect().top;
      const moved = new Promise<void>((done) => {
        const frame = () => {
          if (Math.abs(card.getBoundingClientRect().top - before) < 50) {
            requestAnimationFrame(frame);
            return;
          }
          setTimeout(() => {
            const hit = document.elementFromPoint(clientX, clientY);
            for (const type of ['pointerdown', 'pointerup']) hit?.dispatchEvent(new PointerEvent(type, { bubbles: true, clientX, clientY }));
            hit?.dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true, detail: 1, clientX, clientY }));
            done();
          });
        };
        requestAnimationFrame(frame);
      });
      Object.assign(globalThis, { moved });
    },
    [code, button] as const,
  );
}
const tapped = (page: Page) => page.evaluate(() => (globalThis as unknown as { moved: Promise<void> }).moved);

describe('a bar', () => {
  const notice = () => {
    const { id } = mock.place({ status: 'preparing' });
    mock.end(id, 'cancelled', { how: 'cancelled', by: { role: 'customer' }, reason: 'too_slow' });
  };

  it('that appears while a finger is down moves nothing until the finger has been away for a moment', async () => {
    const order = mock.place({ age: URGENT });
    const page = await openAudible();
    const button = acceptButton(page, order.display_code);
    await calm(page);
    const place = () => card(page, order.display_code).boundingBox();
    const before = await place();
    await button.hover();
    await page.mouse.down();
    notice();
    await page.getByText('Stop preparing it.').waitFor({ state: 'attached' });
    expect(await place()).toEqual(before);
    await page.mouse.up();
    await column(page, 'preparing').locator(`[data-code="${order.display_code}"]`).waitFor();
    await page.waitForFunction(() => (document.querySelector('.bars')?.getBoundingClientRect().height ?? 0) > 50);
    expect(commands()).toEqual([`${order.id}/accept`]);
  });

  it('that moved the cards just before a tap makes the board ignore the tap and say so', async () => {
    const order = mock.place({ age: URGENT });
    const page = await stage.board();
    await acceptButton(page, order.display_code).waitFor();
    await calm(page);
    await tapWhenMoved(page, order.display_code, '[data-key="a"] button');
    notice();
    await tapped(page);
    await page.getByText('The board moved. Tap again.').waitFor();
    expect(commands()).toEqual([]);
    // The card is at rest now, so the same tap counts.
    await calm(page);
    await tapAtRest(acceptButton(page, order.display_code));
    await column(page, 'preparing').locator(`[data-code="${order.display_code}"]`).waitFor();
    expect(commands()).toEqual([`${order.id}/accept`]);
  });

  it('that moved the cards does not change a tap on what has stayed in its place', async () => {
    const order = mock.place({ age: URGENT });
    const page = await openAudible();
    await acceptButton(page, order.display_code).waitFor();
    await calm(page);
    await tapWhenMoved(page, undefined, '.tools button[aria-keyshortcuts="m"]');
    notice();
    await tapped(page);
    await page.getByRole('dialog', { name: 'Items and stock' }).waitFor();
  });
});

describe('a card that leaves', () => {
  it('just before a tap makes the board ignore the tap that would press a button of another order', async () => {
    // Cards of the same size, so that each button comes to the place of another one.
    const [first, second, third] = [60, 120, 180].map((readyIn) => mock.place({ status: 'preparing', readyIn, lines: 1, collection: true }));
    if (first === undefined || second === undefined || third === undefined) throw new Error('There are no orders.');
    const page = await openAudible();
    await card(page, third.display_code).waitFor();
    await calm(page);
    await tapWhenMoved(page, second.display_code, '[data-key="d"] button');
    mock.end(first.id, 'cancelled', { how: 'cancelled', by: { role: 'restaurant' }, reason: 'other' });
    await tapped(page);
    await page.getByText('The board moved. Tap again.').waitFor();
    expect(await page.getByRole('button', { name: /^Undo/ }).count()).toBe(0);
    await calm(page);
    await tapAtRest(card(page, second.display_code).getByRole('button', { name: /^Ready/ }));
    await column(page, 'ready').locator(`[data-code="${second.display_code}"]`).waitFor();
    expect(commands()).toEqual([`${second.id}/ready`]);
  });
});

describe('a command', () => {
  it('scrolls nothing, neither at the tap nor when the card leaves', async () => {
    for (let index = 0; index < 3; index += 1) mock.place({ age: 60 - index, lines: 4 });
    const page = await openAudible();
    const scroll = column(page, 'new').locator('.scroll');
    const code = await column(page, 'new').locator('[data-card]').nth(1).getAttribute('data-code');
    if (code === null) throw new Error('There is no card.');
    const button = acceptButton(page, code);
    // The tops of the card and of the page are out of sight; the button is not.
    await button.evaluate((element) => element.scrollIntoView({ block: 'start' }));
    await calm(page);
    const before = await scroll.evaluate((element) => element.scrollTop);
    expect(before).toBeGreaterThan(100);
    // The mouse, because `click` itself may scroll.
    const box = await button.boundingBox();
    if (box === null) throw new Error('There is no button.');
    await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
    expect(await scroll.evaluate((element) => element.scrollTop)).toBe(before);
    await column(page, 'preparing').locator(`[data-code="${code}"]`).waitFor();
    // Fewer cards may end the scrolling earlier, but never move it up to the next card.
    const end = await scroll.evaluate((element) => element.scrollHeight - element.clientHeight);
    const height = await column(page, 'new').locator('[data-card]').first().evaluate((element) => element.getBoundingClientRect().height);
    expect(await scroll.evaluate((element) => element.scrollTop)).toBeGreaterThanOrEqual(Math.min(before - height - 20, end));
  });
});

describe('a new order', () => {
  it('is shown although a search does not match it', async () => {
    const cooking = mock.place({ status: 'preparing' });
    const page = await stage.board({ hasTouch: true });
    await page.getByRole('searchbox').fill('no such order');
    await card(page, cooking.display_code).waitFor({ state: 'detached' });
    const order = mock.place({ age: URGENT });
    await tapAtRest(acceptButton(page, order.display_code), 'tap');
    await expect.poll(commands).toEqual([`${order.id}/accept`]);
  });

  it('that ends under the open dialog cannot be rejected, and has one bar', async () => {
    const order = mock.place();
    const page = await stage.board({ hasTouch: true });
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^Reject/ }), 'tap');
    const dialog = page.getByRole('dialog');
    await dialog.getByText('Too busy').tap();
    const reject = dialog.getByRole('button', { name: 'Reject order' });
    expect(await reject.isEnabled()).toBe(true);
    mock.end(order.id, 'cancelled', { how: 'cancelled', by: { role: 'customer' }, reason: 'changed_mind' });
    await dialog.getByText('The order is now: Cancelled.').waitFor();
    expect(await reject.isEnabled()).toBe(false);
    await dialog.getByRole('button', { name: 'Close' }).last().tap();
    await page.getByText(`Order ${order.display_code}: the customer cancelled.`).waitFor();
    expect(await page.getByRole('alert').filter({ hasText: order.display_code }).count()).toBe(1);
    expect(commands()).toEqual([]);
  });
});

describe('several orders that the kitchen must stop', () => {
  it('are one bar that unfolds, and stay after a reload until they are dismissed', async () => {
    const orders = [0, 1, 2].map(() => mock.place({ status: 'preparing' }));
    const page = await stage.board({ hasTouch: true });
    await card(page, orders[0]?.display_code ?? '').waitFor();
    for (const { id } of orders) mock.end(id, 'cancelled', { how: 'cancelled', by: { role: 'customer' }, reason: 'too_slow' });
    await page.getByText('Stop preparing 3 orders').waitFor();
    await page.reload();
    await page.getByText('Stop preparing 3 orders').waitFor();
    expect(await page.getByText('Stop preparing it.').count()).toBe(0);
    await calm(page);
    await tapAtRest(page.getByRole('button', { name: 'Show all' }), 'tap');
    await expect.poll(() => page.getByText('Stop preparing it.').count()).toBe(3);
    await calm(page);
    await tapAtRest(page.getByRole('button', { name: /^Dismiss all/ }), 'tap');
    await page.getByText('Stop preparing 3 orders').waitFor({ state: 'detached' });
    await page.reload();
    await page.getByText('Live', { exact: true }).waitFor();
    expect(await page.getByText(/Stop preparing/).count()).toBe(0);
  });
});

describe('the name of the device', () => {
  it('reaches the server when it changes, also from a tab that does not have the stream', async () => {
    const names: (string | null)[] = [];
    const answer = stage.front.intercept;
    stage.front.intercept = (request, response) => {
      const url = new URL(request.url ?? '/', 'http://mock');
      if (url.pathname.endsWith('/board/stream')) names.push(url.searchParams.get('device'));
      return answer(request, response);
    };
    const first = await stage.board();
    const second = await stage.board({}, first.context());
    for (const page of [first, second]) await page.getByText('Live', { exact: true }).waitFor();
    await second.getByRole('button', { name: 'Settings' }).click();
    await second.getByLabel('Device name').fill('Pass');
    await second.keyboard.press('Tab');
    await expect.poll(() => names).toEqual(['Chrome on Linux', 'Pass']);
    for (const page of [first, second]) await page.getByText('Live', { exact: true }).waitFor();
    // An empty name is the suggested one again, and the field says so.
    await second.getByLabel('Device name').fill('');
    await second.keyboard.press('Tab');
    await expect.poll(() => second.getByLabel('Device name').inputValue()).toBe('Chrome on Linux');
    await expect.poll(() => names).toEqual(['Chrome on Linux', 'Pass', 'Chrome on Linux']);
    for (const page of [first, second]) await page.getByText('Live', { exact: true }).waitFor();
    stage.front.intercept = answer;
  });
});
