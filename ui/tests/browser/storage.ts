// The storage of an account in a page's browser.
import type { Page } from 'playwright-core';

/** Keeps the page's storage busy: it writes nothing until the returned function is called. */
export async function blockStorage(page: Page): Promise<() => Promise<void>> {
  await page.evaluate(async () => {
    const name = (await indexedDB.databases()).map((database) => database.name ?? '').find((text) => text.startsWith('dabba-account-'));
    const request = indexedDB.open(name ?? '');
    await new Promise((opened) => (request.onsuccess = opened));
    const store = request.result.transaction('outbox', 'readwrite').objectStore('outbox');
    let blocked = true;
    Object.assign(window, { unblockStorage: () => (blocked = false) });
    const occupy = () => {
      if (blocked) store.count().onsuccess = occupy;
      else request.result.close();
    };
    occupy();
  });
  return () => page.evaluate(() => (window as unknown as { unblockStorage: () => void }).unblockStorage());
}
