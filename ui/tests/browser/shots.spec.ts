// Screenshots of every page in the directory that DABBA_SHOTS names; `scripts/screenshots` runs this.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { fillAddress } from './customer';
import type { Role } from './dabba';
import { playEvening, type Scene } from './scene';
import { openSite, type Site } from './site';

const directory = process.env.DABBA_SHOTS ?? '';

const TABLET = { width: 1180, height: 820 };
const PHONE = { width: 390, height: 844 };

/** How a page is shown: the end of the file's name, and the browser's settings. */
const VARIANTS = [
  { name: 'tablet-light', viewport: TABLET, colorScheme: 'light', locale: 'en-GB' },
  { name: 'tablet-dark', viewport: TABLET, colorScheme: 'dark', locale: 'en-GB' },
  { name: 'phone-light', viewport: PHONE, colorScheme: 'light', locale: 'en-GB' },
  { name: 'phone-dark', viewport: PHONE, colorScheme: 'dark', locale: 'en-GB' },
  { name: 'tablet-arabic', viewport: TABLET, colorScheme: 'light', locale: 'ar' },
  { name: 'phone-hindi', viewport: PHONE, colorScheme: 'light', locale: 'hi-IN' },
] as const;

type Variant = (typeof VARIANTS)[number];

/** Texts that a variant shows when a page is complete would differ by language, so these are selectors. */
interface Shot {
  name: string;
  role?: Role;
  path: (scene: Scene) => string;
  /** What the page shows when it is complete. */
  complete: string;
  /** Only in English: the steps use the texts of the page. */
  steps?: (page: Page) => Promise<void>;
}

const kitchen = () => `/kitchen/${site.dabba.restaurant_id}`;
const order = () => `/order/${site.dabba.restaurant_id}`;

/** Fills the cart, and shows it: a phone shows it only on request. */
async function openCart(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Choose Masala Dosa' }).click();
  const dialog = page.getByRole('dialog', { name: 'Masala Dosa' });
  await dialog.getByLabel(/Paneer/).check();
  await dialog.getByRole('button', { name: 'More' }).click();
  await dialog.getByRole('button', { name: /^Add for/ }).click();
  await dialog.waitFor({ state: 'hidden' });
  await page.getByRole('button', { name: 'Add Lemon Rice' }).click();
  const view = page.getByRole('button', { name: /^View cart/ });
  if (await view.isVisible()) await view.click();
  await page.getByText('Total', { exact: true }).last().waitFor();
}

const EMPTY: Shot[] = [
  { name: 'kitchen-empty', role: 'restaurant', path: kitchen, complete: '[data-column]' },
  { name: 'console-orders-empty', role: 'admin', path: () => '/console/orders', complete: 'main h1, main p' },
  { name: 'console-tasks-empty', role: 'admin', path: () => '/console/tasks', complete: 'main h1' },
];

const FULL: Shot[] = [
  { name: 'start-signed-out', path: () => '/', complete: 'a[href^="/order/"]' },
  { name: 'start', role: 'restaurant', path: () => '/', complete: 'main dl' },
  { name: 'start-customer', role: 'customer', path: () => '/', complete: 'main dl' },
  { name: 'login', path: () => '/login', complete: 'form' },
  { name: 'kitchen', role: 'restaurant', path: kitchen, complete: '[data-card]' },
  ...['Items', 'Recall', 'Settings', 'Help', 'Pause'].map(
    (name): Shot => ({
      name: `kitchen-${name.toLowerCase()}`,
      role: 'restaurant',
      path: kitchen,
      complete: '[data-card]',
      async steps(page) {
        const tool = page.getByRole('button', { name, exact: true });
        if (!(await tool.isVisible())) await page.getByRole('button', { name: 'Menu' }).click();
        await tool.last().click();
        await page.getByRole('dialog', { name: /./ }).last().waitFor();
      },
    }),
  ),
  {
    name: 'kitchen-reject',
    role: 'restaurant',
    path: kitchen,
    complete: '[data-card]',
    async steps(page) {
      await page.locator('[data-key="r"] button').first().click();
      await page.getByLabel('Item unavailable').check();
    },
  },
  {
    name: 'kitchen-offline',
    role: 'restaurant',
    path: kitchen,
    complete: '[data-card]',
    async steps(page) {
      await page.context().setOffline(true);
      await page.getByText(/^No network/).waitFor();
    },
  },
  {
    name: 'kitchen-undo',
    role: 'restaurant',
    path: kitchen,
    complete: '[data-card]',
    async steps(page) {
      await page.locator('[data-key="a"] button').last().click();
      await page.getByRole('button', { name: /^Undo/ }).waitFor();
    },
  },
  { name: 'tracking', path: ({ tracked }) => `/t/${tracked.token}`, complete: 'dl' },
  { name: 'tracking-rejected', path: ({ rejected }) => `/t/${rejected}`, complete: 'dl' },
  {
    name: 'tracking-offline',
    path: ({ tracked }) => `/t/${tracked.token}`,
    complete: 'dl',
    async steps(page) {
      await page.context().setOffline(true);
      await page.getByText(/^No network/).waitFor();
    },
  },
  { name: 'order', path: order, complete: 'h3' },
  {
    name: 'order-cart',
    path: order,
    complete: 'h3',
    async steps(page) {
      await openCart(page);
    },
  },
  {
    name: 'order-checkout',
    role: 'customer',
    path: order,
    complete: 'h3',
    async steps(page) {
      await openCart(page);
      await page.getByRole('link', { name: 'Go to checkout' }).last().click();
      await page.getByRole('heading', { name: 'Checkout' }).waitFor();
      await fillAddress(page);
      await page.mouse.move(0, 0);
    },
  },
  { name: 'console-orders', role: 'admin', path: () => '/console/orders', complete: '[data-row]' },
  { name: 'console-order', role: 'admin', path: ({ refunded }) => `/console/orders/${refunded}`, complete: 'h2' },
  { name: 'console-timeline', role: 'admin', path: ({ refunded }) => `/console/orders/${refunded}?tab=timeline`, complete: 'h2' },
  { name: 'console-ledger', role: 'admin', path: ({ refunded }) => `/console/orders/${refunded}?tab=money`, complete: 'h2' },
  { name: 'console-tasks', role: 'admin', path: () => '/console/tasks', complete: 'article' },
  { name: 'console-restaurants', role: 'admin', path: () => '/console/restaurants', complete: 'main a' },
  { name: 'console-accounts', role: 'admin', path: () => '/console/accounts', complete: 'main a' },
  { name: 'console-webhooks', role: 'admin', path: () => '/console/webhooks', complete: 'main h1' },
  { name: 'console-statistics', role: 'admin', path: () => '/console/statistics?range=1h', complete: 'figure' },
  { name: 'console-shards', role: 'admin', path: () => '/console/shards', complete: 'main table' },
];

let site: Site;
let scene: Scene = { tracked: { id: '', token: '' }, refunded: '', rejected: '' };
/** The contexts that are signed in, by variant and role. */
const contexts = new Map<string, BrowserContext>();

async function openPage({ name, viewport, colorScheme, locale }: Variant, role: Role | undefined, path: string): Promise<Page> {
  const key = `${name} ${role}`;
  const known = contexts.get(key);
  if (known !== undefined) return site.open({ path, context: known });
  const options = { viewport, colorScheme, locale, timezoneId: 'Europe/London', reducedMotion: 'reduce' as const };
  const page = await site.open(role === undefined ? { path, options } : { role, path, options });
  contexts.set(key, page.context());
  return page;
}

async function take(shot: Shot, variant: Variant): Promise<void> {
  const page = await openPage(variant, shot.role, shot.path(scene));
  await page.locator(shot.complete).first().waitFor();
  await shot.steps?.(page);
  await page.waitForFunction(() => document.getAnimations().every((animation) => animation.playState !== 'running'));
  // After a tap, the place of the bars keeps its size for a moment.
  await page.waitForFunction(() => document.querySelector('.frozen') === null);
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: join(directory, `${shot.name}-${variant.name}.png`) });
  await page.context().setOffline(false);
  await page.close();
}

describe('screenshots', () => {
  beforeAll(async () => {
    if (directory === '') throw new Error('DABBA_SHOTS must name a directory');
    mkdirSync(directory, { recursive: true });
    site = await openSite();
  });
  afterAll(() => site?.close());

  const variants = (shot: Shot) => VARIANTS.filter(({ locale }) => shot.steps === undefined || locale === 'en-GB');

  it.each(EMPTY)('$name', async (shot) => {
    for (const variant of variants(shot)) await take(shot, variant);
  }, 120_000);

  it('an evening', async () => {
    scene = await playEvening(site.dabba);
  }, 120_000);

  it.each(FULL)('$name', async (shot) => {
    for (const variant of variants(shot)) await take(shot, variant);
  }, 120_000);
});
