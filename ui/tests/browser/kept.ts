// Whether a page opens without a network.
import type { Page } from 'playwright-core';
import { expect } from 'vitest';

/**
 * Waits until the service worker has kept a page under its key, such as `/kitchen/-`, with the files that the page has loaded,
 * and answers its requests. The worker keeps the page first.
 */
export async function waitUntilKept(page: Page, key: string): Promise<void> {
  const isKept = () =>
    page.evaluate(async (path) => {
      const files = performance.getEntriesByType('resource').map(({ name }) => name);
      const needed = [path, ...files.filter((name) => name.includes('/assets/'))];
      const kept = await Promise.all(needed.map((name) => caches.match(name)));
      return kept.every((response) => response !== undefined) && navigator.serviceWorker.controller !== null;
    }, key);
  // `waitForFunction` would not wait for the promise.
  await expect.poll(isKept).toBe(true);
}
