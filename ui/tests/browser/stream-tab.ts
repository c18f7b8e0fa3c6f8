// A tab with the shared stream of a restaurant's events, without a page around it.
import type { BrowserContext, Page } from 'playwright-core';
import { vi } from 'vitest';
import type { openSharedStream as OpenStream, SharedStream } from '../../src/lib/tabs';
import type { StreamEvent } from '../../src/lib/sse-parser';
import type { Front } from './front';
import { WAIT, type Site } from './site';

export interface StreamScope {
  openSharedStream: typeof OpenStream;
  stream: SharedStream;
  /** The ids of the orders that this tab knows; what a page would show. */
  orders: string[];
  states: string[];
}

/** Opens a tab with the shared stream of the demo's restaurant. */
export async function openStreamTab(site: Site, fixture: string, context?: BrowserContext): Promise<Page> {
  const page = await site.open({ path: fixture, ...(context === undefined ? { role: 'restaurant' } : { context }) });
  await page.locator('body[data-ready]').waitFor({ state: 'attached' });
  await page.evaluate((restaurant) => {
    const scope = globalThis as unknown as StreamScope;
    Object.assign(scope, { orders: [], states: [] });
    scope.stream = scope.openSharedStream({
      name: restaurant,
      url: `/v1/events/stream?restaurant=${restaurant}&after=start&types=confirmed`,
      replay: () => scope.orders.map((data): StreamEvent => ({ event: 'replayed', data, id: undefined })),
      onConnect: () => (scope.orders = []),
      onState: (state) => scope.states.push(state.status),
      onMessage: (event) => {
        if (event.event === 'replayed') scope.orders.push(event.data);
        if (event.event !== 'confirmed') return;
        scope.orders.push((JSON.parse(event.data) as { partitionkey: string }).partitionkey);
      },
    });
  }, site.dabba.restaurant_id);
  return page;
}

/** Waits until a tab knows exactly these orders. */
export const knows = (page: Page, orders: string[]) =>
  page.waitForFunction((expected) => {
    const scope = globalThis as unknown as StreamScope;
    return JSON.stringify(scope.orders) === JSON.stringify(expected);
  }, orders);

/** Waits until the last state of a tab's stream is this one. */
export const lastState = (page: Page, expected: string, timeout = WAIT) =>
  page.waitForFunction((status) => (globalThis as unknown as StreamScope).states.at(-1) === status, expected, { timeout });

/** Waits until only one of the tabs that use a front has a stream. A tab whose connection failed may connect again. */
export const haveOneStream = (front: Front) => vi.waitUntil(() => front.streams === 1, { timeout: WAIT });
