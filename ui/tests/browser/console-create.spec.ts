import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { accessibilityProblems, smallTargets } from './accessible';
import { openSite, type Site } from './site';

interface Endpoint {
  id: string;
  url: string;
  restaurant_id?: string;
  types?: string[];
  payload: string;
  batch: number;
}

/** Time within which a change of rights applies, in milliseconds. The limit is 5 s; the factor is for a busy machine. */
const RIGHTS = 3 * 5_000;

let site: Site;
let receiver: Server;
let url: string;
/** Ids of the events that the receiver got. */
const received: string[] = [];

beforeAll(async () => {
  receiver = createServer((request, response) => {
    received.push(String(request.headers['webhook-id']));
    request.resume();
    response.writeHead(204).end();
  });
  await new Promise<void>((done) => receiver.listen(0, '127.0.0.1', done));
  const host = `127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  process.env['DABBA_WEBHOOK_ALLOWED_HOSTS'] = host;
  url = `http://${host}/hook`;
  site = await openSite();
});
afterEach(() => {
  site.front.intercept = () => false;
  return site.check();
});
afterAll(async () => {
  await site.close();
  await new Promise((done) => receiver.close(done));
});

const open = (path: string) => site.open({ role: 'admin', path });

async function endpoints(): Promise<Endpoint[]> {
  return (await site.dabba.call<{ endpoints: Endpoint[] }>('admin', 'GET', '/v1/webhook-endpoints')).endpoints;
}

/** Loses the answer of the next request that `method` and `path` describe; the server carries it out. */
function loseNextAnswer(method: string, path: RegExp): void {
  let lost = false;
  site.front.intercept = async (request, response) => {
    if (lost || request.method !== method || !path.test(request.url ?? '')) return false;
    lost = true;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const headers = Object.entries(request.headers).filter(([name]) => !['connection', 'host', 'content-length'].includes(name));
    const init = { method, headers: Object.fromEntries(headers) as Record<string, string>, body: Buffer.concat(chunks) };
    const answer = await fetch(site.dabba.address + request.url, init);
    expect(answer.ok).toBe(true);
    // As a proxy answers that lost the server's answer. A broken connection would let Chromium repeat the request by itself.
    response.writeHead(502).end();
    return true;
  };
}

describe('a webhook endpoint', () => {
  async function openForm(): Promise<Page> {
    const page = await open('/console/webhooks');
    await page.getByRole('button', { name: 'Create endpoint' }).click();
    return page;
  }

  it('is created with its secret, which is shown once, receives events, and is deleted', async () => {
    const page = await openForm();
    const dialog = page.getByRole('dialog', { name: 'Create a webhook endpoint' });
    const confirm = dialog.getByRole('button', { name: 'Create endpoint' });
    expect(await confirm.isDisabled()).toBe(true);
    await dialog.getByLabel('URL').fill(url);
    await dialog.getByLabel('Events of').selectOption({ label: 'Saffron Lane' });
    await dialog.getByLabel('Payload').selectOption('order');
    await dialog.getByLabel('Placed', { exact: true }).check();
    await dialog.getByLabel('Cancelled', { exact: true }).check();
    await dialog.getByLabel('Events in a delivery').fill('0');
    await dialog.getByText('Enter a whole number from 1 to 100.').waitFor();
    expect(await confirm.isDisabled()).toBe(true);
    expect(await accessibilityProblems(page, 'form of an endpoint')).toEqual([]);
    expect(await smallTargets(page, 24)).toEqual([]);
    await dialog.getByLabel('Events in a delivery').fill('1');
    await confirm.click();
    const secretDialog = page.getByRole('dialog', { name: 'The new secret' });
    const secret = (await secretDialog.locator('code').textContent()) ?? '';
    expect(secret).toMatch(/^whsec_/);
    await secretDialog.getByRole('button', { name: 'I have copied it' }).click();
    await page.getByRole('heading', { level: 2, name: url }).waitFor();
    await expect.poll(() => page.content()).not.toContain(secret);
    const [endpoint] = await endpoints();
    expect(endpoint).toMatchObject({
      url,
      restaurant_id: site.dabba.restaurant_id,
      payload: 'order',
      types: ['placed', 'cancelled'],
      batch: 1,
    });
    const { id } = await site.dabba.placeOrder();
    await expect.poll(() => received, { timeout: 15_000 }).toContain(`${id}-1`);

    await page.getByRole('button', { name: 'Delete' }).click();
    const question = page.getByRole('dialog', { name: 'Delete the endpoint?' });
    await question.getByText('The endpoint receives nothing any more.').waitFor();
    expect(await accessibilityProblems(page, 'deletion')).toEqual([]);
    await question.getByRole('button', { name: 'Delete' }).click();
    await page.getByText('The endpoint is deleted.').waitFor();
    await page.getByText('No webhook endpoints').waitFor();
    await page.waitForURL((url) => url.pathname === '/console/webhooks');
    expect(await endpoints()).toEqual([]);
  });

  it('whose answer is lost is not created twice, and the page says what to do', async () => {
    const page = await openForm();
    const dialog = page.getByRole('dialog', { name: 'Create a webhook endpoint' });
    await dialog.getByLabel('URL').fill(`${url}/lost`);
    loseNextAnswer('POST', /^\/v1\/webhook-endpoints$/);
    await dialog.getByRole('button', { name: 'Create endpoint' }).click();
    await dialog.getByText('The server answered with status 502.').waitFor();
    await dialog.getByRole('button', { name: 'Create endpoint' }).click();
    await dialog.getByText('The endpoint exists, but its secret was lost on the way.').waitFor();
    expect(await endpoints()).toHaveLength(1);
    await dialog.getByRole('button', { name: 'Back' }).click();
    await page.getByRole('link', { name: /lost/ }).click();

    // The same holds for a new secret: a retry after a lost answer says what to do, and the next one shows a secret.
    await page.getByRole('button', { name: 'Rotate the secret' }).click();
    const rotation = page.getByRole('dialog', { name: 'Create a new secret?' });
    const rotate = rotation.getByRole('button', { name: 'Rotate the secret' });
    loseNextAnswer('POST', /rotate-secret$/);
    await rotate.click();
    await rotation.getByText('The server answered with status 502.').waitFor();
    await rotate.click();
    await rotation.getByText('The secret exists, but was lost on the way.').waitFor();
    await rotate.click();
    const secret = page.getByRole('dialog', { name: 'The new secret' });
    expect(await secret.locator('code').textContent()).toMatch(/^whsec_/);
    await secret.getByRole('button', { name: 'I have copied it' }).click();

    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.getByText('No webhook endpoints').waitFor();
  });

  it('can be for a restaurant beyond the first page, and for one that the choice does not offer', async () => {
    const { restaurant_id: own } = site.dabba;
    const restaurant = await site.dabba.call<{ name: string }>('admin', 'GET', `/v1/restaurants/${own}`);
    // Pages of a platform with more restaurants than a form offers.
    site.front.intercept = (request, response) => {
      const address = new URL(request.url ?? '', 'http://front');
      if (address.pathname !== '/v1/restaurants') return false;
      const first = Number(address.searchParams.get('cursor') ?? 0);
      const restaurants = Array.from({ length: 100 }, (_, index) => ({
        ...restaurant,
        id: `r${first + index}`,
        name: `Kitchen ${first + index}`,
      }));
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ restaurants, next_cursor: String(first + 100) }));
      return true;
    };
    const page = await openForm();
    const dialog = page.getByRole('dialog', { name: 'Create a webhook endpoint' });
    const confirm = dialog.getByRole('button', { name: 'Create endpoint' });
    await dialog.getByLabel('URL').fill(`${url}/many`);
    const choice = dialog.getByLabel('Events of');
    await choice.selectOption({ label: 'Kitchen 999' });
    await expect.poll(() => choice.getByRole('option').count()).toBe(1_002);
    await choice.selectOption({ label: 'Another one, by its id …' });
    await dialog.getByText('The list has only the first 1,000.').waitFor();
    expect(await confirm.isDisabled()).toBe(true);
    expect(await accessibilityProblems(page, 'id of a restaurant')).toEqual([]);
    await dialog.getByLabel('Id', { exact: true }).fill(own);
    await confirm.click();
    await page.getByRole('button', { name: 'I have copied it' }).click();
    const [endpoint] = await endpoints();
    expect(endpoint?.restaurant_id).toBe(own);
    await page.goto('/console/orders');
    await page.getByText('Only the first 1,000 are offered.').waitFor();
    await page.goto(`/console/webhooks/${endpoint?.id}`);
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.getByText('No webhook endpoints').waitFor();
  });

  it('that the server refuses says why', async () => {
    const page = await openForm();
    const dialog = page.getByRole('dialog', { name: 'Create a webhook endpoint' });
    await dialog.getByLabel('URL').fill('http://example.com/hook');
    await dialog.getByRole('button', { name: 'Create endpoint' }).click();
    await dialog.getByRole('alert').getByText(/url: must begin with https/).waitFor();
    expect(await accessibilityProblems(page, 'refused endpoint')).toEqual([]);
    expect(await endpoints()).toEqual([]);
  });
});

describe('a service account', () => {
  it('is created, gets a key, and joins the staff of a restaurant by its id', async () => {
    const page = await open('/console/accounts');
    await page.getByRole('button', { name: 'Create service account' }).click();
    const dialog = page.getByRole('dialog', { name: 'Create a service account' });
    await dialog.getByLabel('Name').fill('Till 7');
    await dialog.getByLabel('Role').selectOption('restaurant');
    await dialog.getByText('Afterwards add the account to the staff').waitFor();
    expect(await accessibilityProblems(page, 'form of a service account')).toEqual([]);
    await dialog.getByRole('button', { name: 'Create service account' }).click();
    await page.getByRole('heading', { level: 2, name: 'Till 7' }).waitFor();
    const id = new URL(page.url()).pathname.split('/').at(-1) ?? '';

    await page.getByRole('button', { name: 'Create key' }).click();
    const keyDialog = page.getByRole('dialog', { name: 'Create an API key' });
    await keyDialog.getByLabel('Name').fill('till');
    await keyDialog.getByLabel('Valid').selectOption('30');
    await keyDialog.getByRole('button', { name: 'Create key' }).click();
    const secretDialog = page.getByRole('dialog', { name: 'The new key' });
    const secret = (await secretDialog.locator('code').textContent()) ?? '';
    await secretDialog.getByRole('button', { name: 'I have copied it' }).click();

    const board = async () =>
      (
        await fetch(`${site.dabba.address}/v1/restaurants/${site.dabba.restaurant_id}/board`, {
          headers: { authorization: `Bearer ${secret}` },
        })
      ).status;
    expect(await board()).toBe(403);
    await page.goto(`/console/restaurants/${site.dabba.restaurant_id}`);
    await page.getByLabel('E-mail or id of an account').fill(id);
    await page.getByRole('button', { name: 'Add' }).click();
    await page.getByText(/^.?Till 7.? works here now\.$/).waitFor();
    await expect.poll(board, { timeout: RIGHTS }).toBe(200);
  });

  it('gets no second key when the answer is lost', async () => {
    const body = { name: 'Lost till', role: 'restaurant' };
    const { id } = await site.dabba.call<{ id: string }>('admin', 'POST', '/v1/service-accounts', body);
    const page = await open(`/console/accounts/${id}`);
    await page.getByRole('button', { name: 'Create key' }).click();
    const dialog = page.getByRole('dialog', { name: 'Create an API key' });
    await dialog.getByLabel('Name').fill('till');
    await dialog.getByLabel('Valid').selectOption('7');
    loseNextAnswer('POST', /\/keys$/);
    await dialog.getByRole('button', { name: 'Create key' }).click();
    await dialog.getByText('The server answered with status 502.').waitFor();
    await dialog.getByRole('button', { name: 'Create key' }).click();
    await dialog.getByText('The key exists, but its secret was lost on the way.').waitFor();
    const { keys } = await site.dabba.call<{ keys: unknown[] }>('admin', 'GET', `/v1/accounts/${id}/keys`);
    expect(keys).toHaveLength(1);
  });
});

it('every checkbox of the lists is a target of at least 24 pixels', async () => {
  await site.dabba.placeOrder();
  const page = await open('/console/orders');
  await page.getByRole('checkbox').first().waitFor();
  const small = (await smallTargets(page, 24)).filter((target) => target.includes('checkbox'));
  expect(small).toEqual([]);
  const label = await page.locator('label:has(input[type="checkbox"])').first().boundingBox();
  expect(Math.min(label?.width ?? 0, label?.height ?? 0)).toBeGreaterThanOrEqual(44);
});
