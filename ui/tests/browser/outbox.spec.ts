import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { openOutbox as OpenOutbox, TabOutbox } from '../../src/lib/outbox-tabs';
import type { Entry } from '../../src/lib/outbox';
import type { openAccountStorage as OpenStorage } from '../../src/lib/storage';
import { serveFixture } from './fixture';
import { openSite, type Site } from './site';

/** What the fixture and `openTab` put into the page. */
interface Scope {
  openOutbox: typeof OpenOutbox;
  openAccountStorage: typeof OpenStorage;
  signOut: () => Promise<void>;
  loadSession: () => Promise<unknown>;
  tab: TabOutbox;
  entries: Entry[];
  done: string[];
}

/** Maximum time until a command that has failed several times has reached the server: the longest pause is 15 s. */
const SENT = 40_000;

let site: Site;
let fixture: string;

beforeAll(async () => {
  site = await openSite();
  fixture = await serveFixture(site.front, 'library');
});
afterEach(() => {
  site.front.connect();
  return site.check();
});
afterAll(() => site.close());

/** Opens a tab with the outbox of the restaurant's account. */
async function openTab(context?: BrowserContext): Promise<Page> {
  const page = await site.open({ path: fixture, ...(context === undefined ? { role: 'restaurant' } : { context }) });
  await startOutbox(page);
  return page;
}

async function startOutbox(page: Page): Promise<void> {
  await page.locator('body[data-ready]').waitFor({ state: 'attached' });
  await page.evaluate(async () => {
    const scope = globalThis as unknown as Scope;
    const session = (await scope.loadSession()) as { account: { id: string } };
    const account = session.account.id;
    const database = await scope.openAccountStorage(account);
    Object.assign(scope, { entries: [], done: [] });
    scope.tab = scope.openOutbox({
      account,
      database,
      onChange: (entries) => (scope.entries = entries),
      onDone: (entry) => scope.done.push(entry.path),
    });
  });
}

function put(page: Page, order: string, command: 'accept' | 'ready', delay = 0): Promise<string> {
  const body = command === 'accept' ? { preparation_minutes: 20 } : undefined;
  return page.evaluate(
    (entry) => {
      const { tab } = globalThis as unknown as Scope;
      const path = `/v1/orders/${entry.order}/${entry.command}`;
      const body = entry.body === undefined ? {} : { body: entry.body };
      return tab.outbox.put({ group: entry.order, method: 'POST', path, ...body }, entry.delay);
    },
    { order, command, body, delay },
  );
}

async function waitForStatus(order: string, status: string): Promise<void> {
  const read = async () => (await site.dabba.call<{ status: string }>('admin', 'GET', `/v1/orders/${order}`)).status;
  await expect.poll(read, { timeout: SENT }).toBe(status);
}

async function events(order: string): Promise<string[]> {
  const path = `/v1/orders/${order}/events`;
  const list = await site.dabba.call<{ events: { type: string }[] }>('admin', 'GET', path);
  return list.events.map((event) => event.type);
}

const commands = (order: string) => site.front.requests.filter((request) => request.includes(order));

describe('a command', () => {
  it('reaches the server once although the network fails and the page is loaded again', async () => {
    const order = (await site.dabba.placeOrder()).id;
    const page = await openTab();
    site.front.disconnect();
    await put(page, order, 'accept');
    await put(page, order, 'ready');
    await page.waitForFunction(() => (globalThis as unknown as Scope).entries.some(({ attempts }) => attempts >= 2));
    site.front.connect();
    await page.reload();
    await startOutbox(page);
    await waitForStatus(order, 'ready_for_pickup');
    expect((await events(order)).filter((type) => type === 'accepted')).toHaveLength(1);
    await page.waitForFunction(() => (globalThis as unknown as Scope).entries.length === 0);
  });

  it('reaches a server that crashed and started again', async () => {
    const order = (await site.dabba.placeOrder()).id;
    const page = await openTab();
    await site.dabba.kill();
    await put(page, order, 'accept');
    await page.waitForFunction(() => (globalThis as unknown as Scope).entries.some(({ attempts }) => attempts >= 2));
    await site.dabba.restart();
    await waitForStatus(order, 'preparing');
  });

  it('that the server refuses stays in every tab, with its reason, until it is dismissed', async () => {
    const order = (await site.dabba.placeOrder()).id;
    const page = await openTab();
    const other = await openTab(page.context());
    await site.dabba.call('customer', 'POST', `/v1/orders/${order}/cancel`, { reason: 'changed_mind' });
    const key = await put(page, order, 'accept');
    for (const tab of [page, other]) {
      await tab.waitForFunction(() => (globalThis as unknown as Scope).entries[0]?.state === 'refused');
      const problem = await tab.evaluate(() => (globalThis as unknown as Scope).entries[0]?.problem);
      expect(problem).toMatchObject({ status: 409, code: 'illegal_move' });
    }
    await other.evaluate((dismissed) => (globalThis as unknown as Scope).tab.outbox.dismiss(dismissed), key);
    await page.waitForFunction(() => (globalThis as unknown as Scope).entries.length === 0);
  });

  it('that is undone was never sent', async () => {
    const order = (await site.dabba.placeOrder()).id;
    const page = await openTab();
    const key = await put(page, order, 'accept', 60_000);
    await page.reload();
    await startOutbox(page);
    await page.waitForFunction(() => (globalThis as unknown as Scope).entries.length === 1);
    const undone = await page.evaluate((k) => (globalThis as unknown as Scope).tab.outbox.undo(k), key);
    expect(undone).toBe(true);
    expect(commands(order)).toEqual([]);
  });
});

describe('two tabs', () => {
  it('send a command of either tab once, and both see it', async () => {
    const first = await openTab();
    const second = await openTab(first.context());
    for (const tab of [first, second]) {
      const order = (await site.dabba.placeOrder()).id;
      await put(tab, order, 'accept');
      await waitForStatus(order, 'preparing');
      expect(commands(order)).toEqual([`POST /v1/orders/${order}/accept`]);
    }
    for (const tab of [first, second]) {
      await tab.waitForFunction(() => (globalThis as unknown as Scope).entries.length === 0);
    }
  });

  it('hand over when the sending tab closes', async () => {
    const first = await openTab();
    const second = await openTab(first.context());
    const order = (await site.dabba.placeOrder()).id;
    site.front.disconnect();
    await put(second, order, 'accept');
    await first.waitForFunction(() => (globalThis as unknown as Scope).entries.some(({ attempts }) => attempts >= 1));
    await first.close();
    site.front.connect();
    await waitForStatus(order, 'preparing');
  });
});

describe('a session that ended', () => {
  it('stops the outbox until a sign-in in another tab', async () => {
    const order = (await site.dabba.placeOrder()).id;
    const page = await openTab();
    await page.context().clearCookies();
    await put(page, order, 'accept');
    await page.waitForFunction(() => (globalThis as unknown as Scope).entries.some(({ attempts }) => attempts >= 1));
    await site.open({ context: page.context(), role: 'restaurant' });
    await waitForStatus(order, 'preparing');
  });

  it('of one account leaves nothing that a tab could send for another account', async () => {
    const order = (await site.dabba.placeOrder()).id;
    const page = await openTab();
    await page.context().clearCookies();
    await put(page, order, 'accept');
    await page.waitForFunction(() => (globalThis as unknown as Scope).entries.some(({ attempts }) => attempts >= 1));
    const sent = commands(order).length;
    const other = await site.open({ context: page.context(), role: 'admin' });
    await other.getByText('This device').waitFor();
    await page.evaluate(() => dispatchEvent(new Event('online')));
    await expect.poll(() => other.evaluate(async () => (await indexedDB.databases()).length)).toBe(0);
    expect(commands(order)).toHaveLength(sent);
  });
});

it('a sign-out without a network deletes the outbox in every tab', async () => {
  const order = (await site.dabba.placeOrder()).id;
  const first = await openTab();
  const second = await openTab(first.context());
  site.front.disconnect();
  await put(first, order, 'accept');
  await second.waitForFunction(() => (globalThis as unknown as Scope).entries.length === 1);
  await second.evaluate(() => (globalThis as unknown as Scope).signOut());
  await expect.poll(() => first.evaluate(async () => (await indexedDB.databases()).length)).toBe(0);
  site.front.connect();
  const read = () => site.dabba.call<{ status: string }>('admin', 'GET', `/v1/orders/${order}`);
  const next = await site.open({ context: first.context(), path: '/' });
  await next.getByRole('link', { name: 'Sign in' }).waitFor();
  expect((await read()).status).toBe('confirmed');
});
