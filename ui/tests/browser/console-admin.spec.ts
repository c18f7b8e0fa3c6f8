import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { isolate } from '../../src/lib/bidi';
import { accessibilityProblems } from './accessible';
import { openSite, type Site } from './site';

/** Time within which a change of rights applies, in milliseconds. The limit is 5 s; the factor is for a busy machine. */
const RIGHTS = 3 * 5_000;

let site: Site;
let receiver: Server;
/** Ids of the events that the receiver got. */
const received: string[] = [];
/** Status with which the receiver answers. */
let answer = 204;

beforeAll(async () => {
  receiver = createServer((request, response) => {
    received.push(String(request.headers['webhook-id']));
    request.resume();
    response.writeHead(answer).end();
  });
  await new Promise<void>((done) => receiver.listen(0, '127.0.0.1', done));
  process.env['DABBA_WEBHOOK_ALLOWED_HOSTS'] = `127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  site = await openSite();
});
afterEach(() => site.check());
afterAll(async () => {
  await site.close();
  await new Promise((done) => receiver.close(done));
});

const open = (path: string) => site.open({ role: 'admin', path });

async function own(role: 'restaurant' | 'courier'): Promise<{ id: string }> {
  return site.dabba.call(role, 'GET', '/v1/accounts/me');
}

function restaurant(): Promise<{ accepting: boolean; pause?: { until?: string }; closed?: { reason: string } }> {
  return site.dabba.call('admin', 'GET', `/v1/restaurants/${site.dabba.restaurant_id}`);
}

describe('restaurants', () => {
  it('are paused for a time and resumed', async () => {
    const page = await open('/console/restaurants');
    await page.getByRole('link', { name: /Saffron Lane/ }).click();
    await page.getByRole('heading', { level: 2, name: 'Saffron Lane' }).waitFor();
    await page.getByText('Mina Shah').waitFor();
    expect(await accessibilityProblems(page, 'restaurant')).toEqual([]);
    await page.getByRole('button', { name: 'Pause', exact: true }).click();
    const dialog = page.getByRole('dialog', { name: `Pause ${isolate('Saffron Lane')}?` });
    await dialog.getByText('Customers cannot order. Open orders continue.').waitFor();
    await dialog.getByLabel('For how long').selectOption('30');
    expect(await accessibilityProblems(page, 'pause')).toEqual([]);
    await dialog.getByRole('button', { name: 'Pause' }).click();
    await page.getByText('The restaurant is paused.').waitFor();
    const { pause } = await restaurant();
    const minutes = (Date.parse(pause?.until ?? '') - Date.now()) / 60_000;
    expect(minutes).toBeGreaterThan(28);
    expect(minutes).toBeLessThan(31);
    await page.getByRole('button', { name: 'Resume' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Resume' }).click();
    await page.getByText('The restaurant takes orders again.').waitFor();
    expect((await restaurant()).pause).toBeUndefined();
  });

  it('are closed for good only with a reason, and reopened', async () => {
    const page = await open(`/console/restaurants/${site.dabba.restaurant_id}`);
    await page.getByRole('button', { name: 'Close for good' }).last().click();
    const dialog = page.getByRole('dialog', { name: `Close ${isolate('Saffron Lane')} for good?` });
    const confirm = dialog.getByRole('button', { name: 'Close for good' });
    expect(await confirm.isDisabled()).toBe(true);
    await dialog.getByLabel('Reason').fill('<b>Moved</b> away');
    await confirm.click();
    await page.getByText('<b>Moved</b> away').first().waitFor();
    expect((await restaurant()).closed?.reason).toBe('<b>Moved</b> away');
    await page.getByRole('button', { name: 'Reopen' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Reopen' }).click();
    await page.getByText('The restaurant is open again.').waitFor();
    expect((await restaurant()).closed).toBeUndefined();
  });

  it('get and lose staff', async () => {
    const password = crypto.randomUUID();
    const body = { email: 'cook@dabba.example', name: 'Cook', password, role: 'restaurant' };
    await site.dabba.call('admin', 'POST', '/v1/accounts', body);
    const page = await open(`/console/restaurants/${site.dabba.restaurant_id}`);
    const email = page.getByLabel('E-mail or id of an account');
    await email.fill('nobody@dabba.example');
    await page.getByRole('button', { name: 'Add' }).click();
    await page.getByText('No account has this address or id.').waitFor();
    await email.fill('cook@dabba.example');
    await page.getByRole('button', { name: 'Add' }).click();
    await page.getByText(`${isolate('Cook')} works here now.`).waitFor();
    await page.getByRole('button', { name: 'Remove Cook' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
    await page.getByText(`${isolate('Cook')} no longer works here.`).waitFor();
    await page.getByRole('button', { name: 'Remove Cook' }).waitFor({ state: 'detached' });
  });
});

describe('accounts', () => {
  it('are found by e-mail address and role', async () => {
    const page = await open('/console/accounts');
    await page.getByText('Bo Lind').waitFor();
    await page.getByLabel('Role').selectOption('customer');
    await page.getByText('Bo Lind').waitFor({ state: 'detached' });
    await page.getByLabel('E-mail address').fill('customer@dabba.example');
    await page.getByRole('button', { name: 'Find' }).click();
    await page.waitForURL((url) => url.search === '?role=customer&email=customer%40dabba.example');
    await page.getByRole('link', { name: /Asha Rao/ }).click();
    await page.getByRole('heading', { level: 2, name: 'Asha Rao' }).waitFor();
    await page.getByText('This account has no sessions').waitFor();
    expect(await accessibilityProblems(page, 'account')).toEqual([]);
  });

  it('are disabled and enabled after the effect is shown, and change their role', async () => {
    const body = { email: 'guest@dabba.example', name: 'Guest', password: crypto.randomUUID() };
    const { id } = await site.dabba.call<{ id: string }>(undefined, 'POST', '/v1/accounts', body);
    const state = () =>
      site.dabba.call<{ disabled_at?: string; role: string }>('admin', 'GET', `/v1/accounts/${id}`);
    const page = await open(`/console/accounts/${id}`);
    await page.getByRole('button', { name: 'Disable' }).click();
    const dialog = page.getByRole('dialog', { name: `Disable ${isolate('Guest')}?` });
    await dialog.getByText('The account can no longer sign in.').waitFor();
    await dialog.getByRole('button', { name: 'Disable' }).click();
    await page.getByText(`${isolate('Guest')} is disabled.`).waitFor();
    expect((await state()).disabled_at).toBeDefined();
    await page.getByRole('button', { name: 'Enable' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Enable' }).click();
    await page.getByText(`${isolate('Guest')} is enabled.`).waitFor();
    expect((await state()).disabled_at).toBeUndefined();
    await page.getByRole('button', { name: 'Change role' }).click();
    await page.getByRole('dialog').getByLabel('Role').selectOption('courier');
    await page.getByRole('dialog').getByRole('button', { name: 'Change role' }).click();
    await page.getByText(`${isolate('Guest')} has a new role.`).waitFor();
    expect((await state()).role).toBe('courier');
  });

  it('lose a session, and all of them', async () => {
    const other = await site.open({ role: 'restaurant', options: { userAgent: 'Mozilla/5.0 (iPad) Safari/604.1' } });
    await other.getByText('This device').waitFor();
    const page = await open(`/console/accounts/${(await own('restaurant')).id}`);
    await page.getByRole('button', { name: 'Revoke the session on Safari on iPad' }).click();
    const dialog = page.getByRole('dialog', { name: 'Revoke this session?' });
    await dialog.getByText('The device is signed out within 5 seconds.').waitFor();
    await dialog.getByRole('button', { name: 'Revoke' }).click();
    await page.getByText('The session is revoked.').waitFor();
    await page.getByText('Ended').first().waitFor();
    expect(await accessibilityProblems(page, 'sessions')).toEqual([]);
    await other.reload();
    await other.getByRole('link', { name: 'Sign in' }).waitFor();
    const third = await site.open({ role: 'courier' });
    await third.getByText('No page for couriers yet').waitFor();
    await page.goto(`/console/accounts/${(await own('courier')).id}`);
    await page.getByRole('button', { name: 'Revoke tokens' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke tokens' }).click();
    await page.getByText(`The tokens of ${isolate('Bo Lind')} are revoked.`).waitFor();
    await third.reload();
    await third.getByRole('link', { name: 'Sign in' }).waitFor();
  });

  it('of services get keys, whose secret is shown once, and which can be revoked', async () => {
    const body = { name: 'Till <b>one</b>', role: 'restaurant' };
    const { id } = await site.dabba.call<{ id: string }>('admin', 'POST', '/v1/service-accounts', body);
    const page = await open(`/console/accounts/${id}`);
    await page.getByRole('heading', { level: 2, name: 'Till <b>one</b>' }).waitFor();
    await page.getByRole('button', { name: 'Create key' }).click();
    const dialog = page.getByRole('dialog', { name: 'Create an API key' });
    await dialog.getByLabel('Name').fill('till');
    await dialog.getByLabel('accounts:read').check();
    expect(await accessibilityProblems(page, 'new key')).toEqual([]);
    await dialog.getByRole('button', { name: 'Create key' }).click();
    const secretDialog = page.getByRole('dialog', { name: 'The new key' });
    const secret = (await secretDialog.locator('code').textContent()) ?? '';
    expect(secret).toMatch(/^dk_/);
    expect(await accessibilityProblems(page, 'secret')).toEqual([]);
    const headers = { authorization: `Bearer ${secret}` };
    expect((await fetch(`${site.dabba.address}/v1/accounts/me`, { headers })).status).toBe(200);
    await secretDialog.getByRole('button', { name: 'I have copied it' }).click();
    await expect.poll(() => page.content()).not.toContain(secret);
    await page.getByRole('button', { name: 'Revoke the key till' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    await page.getByText(`The key ${isolate('till')} is revoked.`).waitFor();
    expect(await accessibilityProblems(page, 'keys')).toEqual([]);
    const refused = async () => (await fetch(`${site.dabba.address}/v1/accounts/me`, { headers })).status;
    await expect.poll(refused, { timeout: RIGHTS }).toBe(401);
  });
});

describe('webhook endpoints', () => {
  let endpoint: string;

  async function openEndpoint(): Promise<Page> {
    const page = await open(`/console/webhooks/${endpoint}`);
    await page.getByRole('heading', { name: 'Latest attempts' }).waitFor();
    return page;
  }

  beforeAll(async () => {
    const url = `http://${process.env['DABBA_WEBHOOK_ALLOWED_HOSTS']}/hook`;
    endpoint = (await site.dabba.call<{ id: string }>('admin', 'POST', '/v1/webhook-endpoints', { url })).id;
  });

  it('show their attempts, and send events again', async () => {
    const { id } = await site.dabba.placeOrder();
    const event = `${id}-1`;
    await expect.poll(() => received.filter((other) => other === event).length, { timeout: 15_000 }).toBe(1);
    // The log may show the attempt after the receiver has got it; the page reads the log again by itself.
    const page = await openEndpoint();
    await page.getByRole('cell', { name: 'Delivered' }).first().waitFor();
    expect(await accessibilityProblems(page, 'endpoint')).toEqual([]);
    await page.getByRole('button', { name: 'Replay' }).click();
    const dialog = page.getByRole('dialog', { name: 'Send events again?' });
    await dialog.getByLabel('Events of the last').selectOption('6');
    expect(await accessibilityProblems(page, 'replay')).toEqual([]);
    await dialog.getByRole('button', { name: 'Replay' }).click();
    await page.getByText('Dabba sends the events again.').waitFor();
    await expect.poll(() => received.filter((other) => other === event).length, { timeout: 15_000 }).toBe(2);
  });

  it('show failures, also at the order', async () => {
    answer = 500;
    const { id } = await site.dabba.placeOrder();
    const path = `/v1/webhook-endpoints/${endpoint}/failures`;
    const failures = () => site.dabba.call<{ failures: { order_id: string }[] }>('admin', 'GET', path);
    await expect.poll(async () => (await failures()).failures.map((failure) => failure.order_id), { timeout: 15_000 }).toContain(id);
    const page = await openEndpoint();
    await page.getByText('Waits for a retry').first().waitFor();
    await page.goto(`/console/orders/${id}?tab=webhooks`);
    await page.getByText('Waits for a retry').first().waitFor();
    expect(await accessibilityProblems(page, 'webhooks of an order')).toEqual([]);
    answer = 204;
  });

  it('are tested, get a new secret, and are disabled and enabled', async () => {
    const page = await openEndpoint();
    await page.getByRole('button', { name: 'Send a test' }).click();
    await page.getByText('The test was delivered').waitFor();
    await page.getByRole('button', { name: 'Rotate the secret' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Rotate the secret' }).click();
    const secret = page.getByRole('dialog', { name: 'The new secret' });
    expect(await secret.locator('code').textContent()).toMatch(/^whsec_/);
    await secret.getByRole('button', { name: 'I have copied it' }).click();
    const enabled = async () =>
      (await site.dabba.call<{ enabled: boolean }>('admin', 'GET', `/v1/webhook-endpoints/${endpoint}`)).enabled;
    await page.getByRole('button', { name: 'Disable' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Disable' }).click();
    await page.getByText('The endpoint is disabled.').waitFor();
    expect(await enabled()).toBe(false);
    await page.getByRole('button', { name: 'Enable' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Enable' }).click();
    await page.getByText('The endpoint is enabled.').waitFor();
    expect(await enabled()).toBe(true);
  });
});
