/// <reference lib="webworker" />
// The service worker: keeps the pages that were opened, and their files, for a reload without a network.
//
// - A page comes from the network, and from the cache if the network does not answer in time.
// - Files in /assets have digests in their names and never change, so the cache comes first.
// - Nothing of /v1 is kept: the API's data belongs to an account, and the page itself keeps what it needs.
//
// A new version waits until every page of the old one is closed, or until the user chooses to reload. It never reloads a
// page by itself, because a page may be ringing.

declare const __BUILD__: string;
const worker = self as unknown as ServiceWorkerGlobalScope;

const PREFIX = 'dabba-pages-';
const CACHE = PREFIX + __BUILD__;
/** Time after which a kept page is shown instead of a slow network's, in milliseconds. */
const PAGE_TIMEOUT = 4_000;

/** Messages from the pages (`src/lib/update.svelte.ts`). */
type PageMessage = { kind: 'keep'; urls: string[] } | { kind: 'activate' };

/**
 * Key under which a page is kept. All kitchens are the same page, and so are all tracking links, whose token is nothing to
 * keep. `undefined`: the path is no page that is kept.
 */
function pageKey(path: string): string | undefined {
  const [, first, ...rest] = path.split('/');
  if (first === '') return '/';
  if (first === 'login' && rest.length === 0) return '/login';
  if (first === 'kitchen' && rest.length === 1) return '/kitchen/-';
  if (first === 't' && rest.length === 1) return '/t/-';
  if (first === 'console') return '/console';
  return undefined;
}

function isFile(path: string): boolean {
  return path.startsWith('/assets/') || path === '/icon.svg' || path.endsWith('.webmanifest');
}

async function keep(key: string, response: Response): Promise<void> {
  if (!response.ok || response.redirected) return;
  // The copy has no address, which may contain the token of a tracking link.
  await (await caches.open(CACHE)).put(key, new Response(response.body, response));
}

/** Keeps a copy of a response that is on its way to the page. A full or failing storage does not concern the page. */
function keepLater(event: FetchEvent, key: string, response: Response): void {
  event.waitUntil(keep(key, response.clone()).catch(() => undefined));
}

/** Returns the kept page of this version. A failing storage has none. */
async function keptPage(key: string): Promise<Response | undefined> {
  try {
    return await (await caches.open(CACHE)).match(key);
  } catch {
    return undefined;
  }
}

async function servePage(key: string, event: FetchEvent): Promise<Response> {
  const { request } = event;
  const kept = await keptPage(key);
  const timeout = kept === undefined ? undefined : AbortSignal.timeout(PAGE_TIMEOUT);
  try {
    const response = await fetch(request, timeout === undefined ? {} : { signal: timeout });
    // A proxy without a server behind it answers with its own page.
    if (response.status >= 500 && kept !== undefined) return kept;
    keepLater(event, key, response);
    return response;
  } catch (cause) {
    if (kept !== undefined) return kept;
    throw cause;
  }
}

async function serveFile(path: string, event: FetchEvent): Promise<Response> {
  // Another version's cache will do: a digest names the content.
  const kept = await caches.match(path).catch(() => undefined);
  if (kept !== undefined) return kept;
  const response = await fetch(event.request);
  keepLater(event, path, response);
  return response;
}

worker.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== worker.location.origin) return;
  if (request.mode === 'navigate') {
    const key = pageKey(url.pathname);
    if (key !== undefined) event.respondWith(servePage(key, event));
  } else if (isFile(url.pathname)) {
    event.respondWith(serveFile(url.pathname, event));
  }
});

worker.addEventListener('activate', (event) => {
  async function activate() {
    // Without a storage there is nothing to delete.
    for (const name of await caches.keys().catch(() => [])) {
      if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name).catch(() => false);
    }
    await worker.clients.claim();
  }
  event.waitUntil(activate());
});

/** Keeps a page that was loaded before the worker controlled it, with its files. */
async function keepLoaded(urls: string[]): Promise<void> {
  for (const url of urls) {
    const path = new URL(url, worker.location.origin).pathname;
    const key = pageKey(path) ?? (isFile(path) ? path : undefined);
    if (key === undefined) continue;
    if ((await (await caches.open(CACHE)).match(key)) !== undefined) continue;
    await keep(key, await fetch(path));
  }
}

worker.addEventListener('message', (event) => {
  const message = event.data as PageMessage;
  if (message.kind === 'activate') event.waitUntil(worker.skipWaiting());
  else event.waitUntil(keepLoaded(message.urls).catch(() => undefined));
});
