// What becomes of the commands of a board: those that do not reach the server, stock, tickets, and the other boards and tabs of
// the account. The server is a stand-in here.
import type { BrowserContext, Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { calm, KITCHEN } from '../mock/open';
import { accessibilityProblems } from './accessible';
import { tapAtRest } from './held';
import { card, column, holdOutbox, isSilent, mock, openAudible, rings, stage, URGENT, useStage } from './stage';

useStage();

const undoButton = (page: Page, code: string) => card(page, code).getByRole('button', { name: /^Undo/ });
const acceptButton = (page: Page, code: string) => card(page, code).getByRole('button', { name: /^Accept/ });
const commands = () => mock.received.map(({ path }) => path.split('/').slice(-1)[0]);
const live = (page: Page) => page.getByText('Live', { exact: true }).waitFor();

describe('an answer that does not reach the server', () => {
  it('is shown in red, and the board rings again until the server has it', async () => {
    const order = mock.place({ age: URGENT });
    const page = await openAudible();
    await rings(page);
    mock.refuse = () => ({ status: 503, code: 'unavailable' });
    await tapAtRest(acceptButton(page, order.display_code));
    await isSilent(page);
    const bar = page.getByRole('alert').filter({ hasText: `has not confirmed the answer to order ${order.display_code}` });
    await bar.getByRole('button', { name: 'Connect now' }).waitFor();
    await rings(page);
    await page.waitForFunction(() => document.title.startsWith('(1)'));
    // The card is as urgent as before, and says that its answer was not sent.
    await card(page, order.display_code).getByRole('timer').waitFor();
    await card(page, order.display_code).getByText('Not sent yet').waitFor();
    expect(await accessibilityProblems(page, 'overdue answer')).toEqual([]);
    mock.refuse = () => undefined;
    await page.evaluate(() => dispatchEvent(new Event('online')));
    await column(page, 'preparing').locator(`[data-code="${order.display_code}"]`).waitFor();
    await isSilent(page);
    await bar.waitFor({ state: 'detached' });
    const keys = mock.received.map(({ key }) => key);
    expect(keys.length).toBeGreaterThan(1);
    expect(new Set(keys).size).toBe(1);
  }, 120_000);

  it('rings in a tab that was opened meanwhile, once the first one is closed', async () => {
    const order = mock.place({ age: URGENT });
    const first = await stage.board();
    mock.refuse = () => ({ status: 503, code: 'unavailable' });
    await tapAtRest(acceptButton(first, order.display_code));
    const second = await openAudible(first);
    await second.getByText(`has not confirmed the answer to order ${order.display_code}`).waitFor();
    await first.close();
    await rings(second);
  });
});

describe('the stock', () => {
  it('counts every tap once, however late the server answers', async () => {
    const page = await stage.board();
    await page.getByRole('button', { name: 'Items', exact: true }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Details, Garlic Naan' }).click();
    const stepper = dialog.getByRole('group', { name: 'Stock of Garlic Naan' });
    await stepper.getByText('14').waitFor();
    mock.silent = true;
    const more = stepper.getByRole('button', { name: 'More' });
    for (let tap = 0; tap < 3; tap += 1) await more.click();
    await stepper.getByText('17').waitFor();
    await stepper.getByRole('button', { name: 'Less' }).click();
    await stepper.getByText('16').waitFor();
    await dialog.getByText('Stock: 14').waitFor();
    mock.silent = false;
    // The stock is 16 after the second tap, too.
    await expect.poll(() => mock.received.length).toBe(4);
    await dialog.getByText('Stock: 16').waitFor();
    await stepper.getByText('16').waitFor();
    expect(mock.received.map(({ body }) => body)).toEqual([{ by: 1 }, { by: 1 }, { by: 1 }, { by: -1 }]);
  });

  it('is limited first and changed then, as a person has tapped', async () => {
    const page = await stage.board();
    await page.getByRole('button', { name: 'Items', exact: true }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Details, Garlic Naan' }).click();
    // The server refuses nothing, and answers nothing for a time: both commands wait in the outbox.
    mock.silent = true;
    await dialog.getByLabel('Number left').fill('20');
    await dialog.getByRole('button', { name: 'Set', exact: true }).click();
    const stepper = dialog.getByRole('group', { name: 'Stock of Garlic Naan' });
    await stepper.getByText('20').waitFor();
    await stepper.getByRole('button', { name: 'More' }).click();
    await stepper.getByText('21').waitFor();
    mock.silent = false;
    await dialog.getByText('Stock: 21').waitFor();
    expect(commands()).toEqual(['stock', 'adjust']);
  });
});

/** Types a code within one task, as a scanner does. */
const scan = (page: Page, code: string) =>
  page.evaluate((keys) => {
    for (const key of [...keys, 'Enter']) {
      document.activeElement?.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
    }
  }, [...code]);

it('a scanned code finds an order that the search hides', async () => {
  const order = mock.place({ status: 'preparing' });
  const page = await stage.board();
  await page.getByRole('searchbox').fill('no such order');
  await card(page, order.display_code).waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Help', exact: true }).focus();
  await scan(page, order.display_code);
  await page.waitForFunction((code) => (document.activeElement as HTMLElement).dataset['code'] === code, order.display_code);
  expect(await page.getByRole('searchbox').inputValue()).toBe('');
});

/** Changes every command in the account's outbox, and adds commands, without a word to the page. Returns all of them. */
const changeOutbox = (page: Page, changes: object, added: object[] = []) =>
  page.evaluate(
    async ([changes, added]) => {
      const done = <T>(request: IDBRequest<T>) =>
        new Promise<T>((resolve) => {
          request.onsuccess = () => resolve(request.result);
        });
      const name = (await indexedDB.databases()).map((database) => database.name ?? '').find((known) => known.startsWith('dabba-account-'));
      const database = await done(indexedDB.open(name ?? ''));
      const store = database.transaction('outbox', 'readwrite').objectStore('outbox');
      for (const entry of (await done(store.getAll())) as object[]) store.put({ ...entry, ...changes });
      for (const entry of added) store.add(entry);
      const entries = (await done(store.getAll())) as { key: string; state: string }[];
      database.close();
      return entries;
    },
    [changes, added] as const,
  );

interface Printed {
  printed: string[];
}

/** Opens a board that prints on accept, and records what it prints, over reloads too. */
async function openPrinting(context?: BrowserContext): Promise<Page> {
  const page = await stage.page({}, context);
  await page.addInitScript(() => {
    const printed = JSON.parse(sessionStorage.getItem('printed') ?? '[]') as string[];
    Object.assign(globalThis, { printed });
    globalThis.print = () => {
      printed.push(document.querySelector('[data-ticket]')?.textContent ?? '');
      sessionStorage.setItem('printed', JSON.stringify(printed));
      dispatchEvent(new Event('afterprint'));
    };
  });
  await page.goto(KITCHEN);
  await page.getByRole('button', { name: 'Settings', exact: true }).click();
  await page.getByLabel('Print when an order is accepted').check();
  await page.keyboard.press('Escape');
  return page;
}
const printed = (page: Page) => page.evaluate(() => (globalThis as unknown as Printed).printed);
const prints = (page: Page, count: number) =>
  page.waitForFunction((wanted) => (globalThis as unknown as Printed).printed.length === wanted, count);

describe('the ticket of an accept', () => {
  it('is printed although the page is loaded again before the order is sent', async () => {
    const order = mock.place({ age: 30 });
    const { context, release } = await holdOutbox();
    const page = await openPrinting(context);
    await tapAtRest(acceptButton(page, order.display_code));
    await undoButton(page, order.display_code).waitFor();
    await page.reload();
    await undoButton(page, order.display_code).waitFor();
    await release();
    await column(page, 'preparing').locator(`[data-code="${order.display_code}"]`).waitFor();
    await prints(page, 1);
    expect((await printed(page))[0]).toContain(order.display_code);
    // And once.
    await page.reload();
    await live(page);
    expect((await printed(page)).length).toBe(1);
  });

  it('is printed although an undo came too late', async () => {
    const order = mock.place({ age: 30 });
    const { context, release } = await holdOutbox();
    const page = await openPrinting(context);
    await tapAtRest(acceptButton(page, order.display_code));
    await undoButton(page, order.display_code).waitFor();
    // Another tab has begun to send it, and this tab does not know yet.
    await changeOutbox(page, { state: 'sending', attempts: 1 });
    await tapAtRest(undoButton(page, order.display_code));
    await release();
    await column(page, 'preparing').locator(`[data-code="${order.display_code}"]`).waitFor();
    await prints(page, 1);
  });

  it('is not printed if the accept was undone', async () => {
    const [undone, accepted] = [mock.place({ age: 30 }), mock.place({ age: URGENT })];
    const { context, release } = await holdOutbox();
    const page = await openPrinting(context);
    await tapAtRest(acceptButton(page, undone.display_code));
    await tapAtRest(undoButton(page, undone.display_code));
    await acceptButton(page, undone.display_code).waitFor();
    await release();
    mock.change(undone.id, { status: 'preparing', ready_by: new Date(Date.now() + 900_000).toISOString() });
    await column(page, 'preparing').locator(`[data-code="${undone.display_code}"]`).waitFor();
    // The card has moved up.
    await calm(page);
    await tapAtRest(acceptButton(page, accepted.display_code));
    await prints(page, 1);
    expect((await printed(page))[0]).toContain(accepted.display_code);
  });
});

it('a payment by card that is only reserved is not called paid', async () => {
  const order = mock.place({ changes: { payment: { method: 'card', status: 'authorized' } } });
  const page = await openPrinting();
  await card(page, order.display_code).getByText(/^Card, £[\d.]+ reserved$/).waitFor();
  await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^More for/ }));
  const dialog = page.getByRole('dialog');
  await dialog.getByText('Card, reserved').waitFor();
  await dialog.getByRole('button', { name: 'Print' }).click();
  await prints(page, 1);
  const [ticket] = await printed(page);
  expect(ticket).toContain('Card, reserved');
  expect(ticket).not.toContain('Paid');
  mock.change(order.id, { payment: { method: 'card', status: 'captured' } });
  await card(page, order.display_code).getByText(/^Paid £/).waitFor();
});

it('an ended order has the same words in the list and in its details', async () => {
  const rejected = mock.place();
  const collected = mock.place({ collection: true });
  mock.end(rejected.id, 'cancelled', { how: 'rejected', reason: 'too_busy' });
  mock.end(collected.id, 'delivered');
  const page = await stage.board();
  for (const [order, word] of [[rejected, 'Rejected'], [collected, 'Collected']] as const) {
    await page.getByRole('button', { name: 'Recall', exact: true }).click();
    const row = page.getByRole('listitem').filter({ hasText: order.display_code });
    await row.getByText(word, { exact: true }).waitFor();
    await row.getByRole('button', { name: /^Details/ }).click();
    const dialog = page.getByRole('dialog', { name: `Order ${order.display_code}` });
    await dialog.locator('dl div').filter({ hasText: 'Status' }).getByText(word, { exact: true }).waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
  }
});

describe('a pause', () => {
  const chip = (page: Page) => page.locator('.states .badge').first();

  it('that waits for the network says so, and can be followed by its end', async () => {
    const page = await stage.board();
    await live(page);
    await page.context().setOffline(true);
    await page.getByText(/^No network/).waitFor();
    // The last known state is not shown as the present one.
    expect(await chip(page).getAttribute('class')).not.toContain('tone-success');
    await page.getByRole('button', { name: 'Pause', exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).click();
    await page.getByText('Pause not sent yet', { exact: true }).waitFor();
    expect(await page.locator('.states').getByText('Open').count()).toBe(0);
    expect(await accessibilityProblems(page, 'pause not sent')).toEqual([]);
    await page.getByRole('button', { name: 'Resume', exact: true }).click();
    await page.getByText('Resume not sent yet', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Pause', exact: true }).waitFor();
    await page.context().setOffline(false);
    await page.getByText('Open', { exact: true }).waitFor();
    await live(page);
    expect(await chip(page).getAttribute('class')).toContain('tone-success');
    expect(commands()).toEqual(['pause', 'resume']);
  });
});

describe('a command that can be undone', () => {
  /** Returns the words that elements break in two. */
  const brokenWords = (page: Page, selector: string) =>
    page.evaluate((wanted) => {
      const broken: string[] = [];
      for (const element of document.querySelectorAll(wanted)) {
        const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
        for (let node = texts.nextNode(); node !== null; node = texts.nextNode()) {
          for (const { index, 0: word } of (node.textContent ?? '').matchAll(/[^\s\u00a0]+/g)) {
            const range = document.createRange();
            range.setStart(node, index);
            range.setEnd(node, index + word.length);
            if (new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size > 1) broken.push(word);
          }
        }
      }
      return broken;
    }, selector);

  it('that ends the order does not look like one that continues it, and breaks no word on a narrow card', async () => {
    const [accepted, rejected, cancelled] = [mock.place({ age: 10 }), mock.place({ age: 5 }), mock.place({ status: 'preparing' })];
    for (let index = 0; index < 2; index += 1) mock.place({ status: 'preparing' });
    const { context } = await holdOutbox({ viewport: { width: 1_280, height: 800 } });
    const page = await stage.board({}, context);
    const strip = (code: string) => card(page, code).locator('.pending');
    // Each answer is checked at once: an answer that waits for 20 seconds is marked as not sent, and a busy machine may need as
    // long for all three.
    const shown = async (code: string, word: string, tone: string): Promise<string | null> => {
      await strip(code).getByText(word).waitFor();
      expect(await strip(code).getAttribute('class')).toContain(`tone-${tone}`);
      return await strip(code).locator('.what path').first().getAttribute('d');
    };
    await tapAtRest(acceptButton(page, accepted.display_code));
    const acceptance = await shown(accepted.display_code, 'Accepted', 'success');
    await tapAtRest(card(page, rejected.display_code).getByRole('button', { name: /^Reject/ }));
    await page.getByRole('dialog').getByLabel('Too busy').check();
    await page.getByRole('dialog').getByRole('button', { name: 'Reject order' }).click();
    expect(await shown(rejected.display_code, 'Rejected', 'danger')).not.toBe(acceptance);
    await tapAtRest(card(page, cancelled.display_code).getByRole('button', { name: /^More for/ }));
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel order' }).click();
    await page.getByRole('dialog').getByLabel('No courier').check();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel order' }).click();
    expect(await shown(cancelled.display_code, 'Cancelled', 'danger')).not.toBe(acceptance);
    expect(await brokenWords(page, '.pending')).toEqual([]);
    expect(await accessibilityProblems(page, 'rejection that can be undone')).toEqual([]);
  });

  it('and the labels of the details break no word', async () => {
    const order = mock.place({ status: 'preparing', collection: false });
    mock.change(order.id, { fulfilment: { type: 'delivery', address: { line1: '112 Long Lane Within The City', line2: 'Flat 31', city: 'Manchester', postal_code: 'M14 5TP' } } } as Partial<typeof order>);
    const page = await stage.board({ viewport: { width: 820, height: 1_180 } });
    await page.getByRole('button', { name: /Preparing/ }).click();
    await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^More for/ }));
    await page.getByRole('dialog').getByText('Address').waitFor();
    expect(await brokenWords(page, 'dialog dt')).toEqual([]);
  });
});

it('the ticket of a cancelled order says so, and does not say that it is paid', async () => {
  const order = mock.place({ changes: { payment: { method: 'card', status: 'voided' } } });
  mock.end(order.id, 'cancelled', { how: 'cancelled', by: { role: 'customer' }, reason: 'changed_mind' });
  const page = await openPrinting();
  await page.getByRole('button', { name: 'Recall', exact: true }).click();
  await page.getByRole('button', { name: `Print, ${order.display_code}` }).click();
  await prints(page, 1);
  const [ticket] = await printed(page);
  expect(ticket).toContain('Cancelled');
  expect(ticket).toContain('Total');
  expect(ticket).not.toMatch(/Paid|cash/);
});

it('the open details of an order show and print what became of it', async () => {
  const order = mock.place({ status: 'preparing' });
  const page = await openPrinting();
  await tapAtRest(card(page, order.display_code).getByRole('button', { name: /^More for/ }));
  const dialog = page.getByRole('dialog', { name: `Order ${order.display_code}` });
  const status = (text: string) => dialog.locator('dl div').filter({ hasText: 'Status' }).getByText(text, { exact: true });
  await status('Being prepared').waitFor();
  await dialog.getByRole('button', { name: 'Cancel order' }).waitFor();
  await dialog.getByRole('button', { name: 'Cancel: item unavailable' }).waitFor();
  const ready = new Date(Date.now() + 7_200_000).toISOString();
  mock.change(order.id, { status: 'ready_for_pickup', ready_by: ready });
  await status('Being prepared').waitFor({ state: 'detached' });
  mock.end(order.id, 'cancelled', { how: 'cancelled', by: { role: 'customer' }, reason: 'too_slow' });
  await status('Cancelled').waitFor();
  await dialog.getByText('Took too long').first().waitFor();
  expect(await dialog.getByRole('button', { name: /^Cancel( order|: item unavailable)$/ }).count()).toBe(0);
  await dialog.getByRole('button', { name: 'Print' }).click();
  await prints(page, 1);
  const [ticket] = await printed(page);
  expect(ticket).toContain('Cancelled');
  expect(ticket).not.toMatch(/Paid|cash/);
});

describe('a board', () => {
  it('knows nothing of the commands of another board of the account', async () => {
    const [refused, undone] = [mock.place({ age: URGENT }), mock.place({ age: 30 })];
    const page = await stage.board();
    mock.refuse = () => ({ status: 403, code: 'forbidden' });
    await tapAtRest(acceptButton(page, refused.display_code));
    await page.getByText(`Order ${refused.display_code} was not accepted.`).waitFor();
    const { release } = await holdOutbox({}, page.context());
    await page.reload();
    await tapAtRest(acceptButton(page, undone.display_code));
    await undoButton(page, undone.display_code).waitFor();
    const [own] = await changeOutbox(page, {});
    const now = Date.now();
    const other = { ...own, created: now, due: now + 3_600_000, attempts: 0, claimed: 0, group: 'other', subject: { kind: 'accept', restaurant: 'other', order: 'other', code: 'ZZZZZ' } };
    Reflect.deleteProperty(other, 'sequence');
    await changeOutbox(page, {}, [
      { ...other, key: 'refused-there', state: 'refused' },
      { ...other, key: 'waiting-there', state: 'waiting' },
    ]);
    // The other board says that it has changed the outbox.
    await page.evaluate(async () => {
      const name = (await indexedDB.databases()).map((database) => database.name ?? '').find((known) => known.startsWith('dabba-account-'));
      new BroadcastChannel(name?.replace('account', 'outbox') ?? '').postMessage('changed');
    });
    await page.keyboard.press('z');
    await page.getByText('Taken back.').waitFor();
    await acceptButton(page, undone.display_code).waitFor();
    expect((await changeOutbox(page, {})).map(({ key }) => key).sort()).toEqual([own?.key, 'refused-there', 'waiting-there'].sort());
    await release();
    await page.reload();
    await page.getByText(`Order ${refused.display_code} was not accepted.`).waitFor();
    expect(await page.getByText('2 commands were refused').count()).toBe(0);
    await page.context().setOffline(true);
    await page.getByText(/^No network/).waitFor();
    expect(await page.getByText(/waits? for the network/).count()).toBe(0);
    // But a sign-out would lose them.
    await page.getByRole('button', { name: 'Settings', exact: true }).click();
    await page.getByText('Commands that were not sent are lost.').waitFor();
  });

  it('that was not connected asks once for all tabs how orders ended, and says of which ones it does not know', async () => {
    const orders = Array.from({ length: 23 }, () => mock.place({ status: 'preparing' }));
    const stopped = orders[0];
    if (stopped === undefined) throw new Error('There is no order.');
    const first = await stage.board();
    const second = await stage.board({}, first.context());
    for (const page of [first, second]) await live(page);
    stage.front.requests.length = 0;
    stage.front.disconnect();
    for (const page of [first, second]) await page.getByText('Connect now').waitFor();
    mock.end(stopped.id, 'cancelled', { how: 'cancelled', by: { role: 'customer' }, reason: 'too_slow' });
    for (const { id } of orders.slice(1)) mock.end(id, 'delivered');
    stage.front.connect();
    for (const page of [first, second]) {
      await page.getByText('Stop preparing it.').waitFor();
      await page.getByText('3 orders left the board while it was not connected.').waitFor();
    }
    const asked = stage.front.requests.filter((request) => request.startsWith('GET /v1/orders/'));
    expect(asked.length).toBe(20);
    // What a person dismisses in one tab does not come back, neither in another one nor after a reload.
    await tapAtRest(second.getByRole('button', { name: `Dismiss: ${stopped.display_code}` }));
    await second.getByText('Stop preparing it.').waitFor({ state: 'detached' });
    await tapAtRest(second.getByRole('button', { name: /^Dismiss: / }));
    await first.getByText('left the board').waitFor({ state: 'detached' });
    await first.getByText('Stop preparing it.').waitFor({ state: 'detached' });
    for (const page of [first, second]) {
      await page.reload();
      await live(page);
      expect(await page.getByText(/left the board|Stop preparing/).count()).toBe(0);
    }
  });

  it('says of an order of which the server does not know the end that it left', async () => {
    const order = mock.place({ status: 'preparing' });
    const page = await stage.board();
    await card(page, order.display_code).waitFor();
    stage.front.disconnect();
    mock.orders.delete(order.id);
    stage.front.connect();
    const bar = page.getByRole('alert').filter({ hasText: '1 order left the board while it was not connected.' });
    await bar.getByText(order.display_code).waitFor();
    expect(await accessibilityProblems(page, 'unknown end')).toEqual([]);
  });

  it('names the day of a time that is not today', async () => {
    const opens = new Date(Date.now() + 3 * 86_400_000);
    mock.restaurant = { ...mock.restaurant, accepting: false, opens_at: opens.toISOString() };
    const page = await stage.board();
    const of = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat('en-GB', { ...options, timeZone: mock.restaurant.time_zone }).format(opens);
    const time = of({ weekday: 'short', hour: '2-digit', minute: '2-digit' });
    await page.getByText(`Closed until ${time}`, { exact: true }).waitFor();
  });
});
