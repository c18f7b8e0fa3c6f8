/// <reference lib="webworker" />
// The service worker: keeps the pages that were opened, and their files, for a reload without a network.
//
// - A page comes from the network, and from the cache if the network does not answer in time.
// - Files in /assets have digests in their names and never change, so the cache comes first.
// - Each version has a cache of its own. A page stays in the cache of an older version until the newer version has the page
//   with all its files: a release does not take the only copy of a device without a network.
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
/** Maximum number of older versions whose caches are kept. */
const MAXIMUM_OLDER = 4;

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
  if (!response.ok || response.redirected) throw new Error(`${key} cannot be kept.`);
  // The copy has no address, which may contain the token of a tracking link.
  await (await caches.open(CACHE)).put(key, new Response(response.body, response));
}

/** Keeps a file in the cache of this version. */
async function keepFile(path: string): Promise<void> {
  if ((await keptHere(path)) === undefined) await keep(path, await fetch(path));
}

/** Keeps a page in the cache of this version: first the files that it names, so that no page is kept without them. */
async function keepPage(key: string, response: Response): Promise<void> {
  if (response.ok) await Promise.all((await filesOf(response.clone())).map(keepFile));
  await keep(key, response);
}

/** Returns the files that a page names. Further ones, such as those of its languages, are known once it runs. */
async function filesOf(page: Response): Promise<string[]> {
  return (await page.text()).match(/\/assets\/[\w.-]+/g) ?? [];
}

/** Keeps a copy of what is on its way to the page. A full or failing storage does not concern the page. */
function keepLater(event: FetchEvent, key: string, response: Response, keepIt = keep): void {
  event.waitUntil(keepIt(key, response.clone()).catch(() => undefined));
}

/** Returns what the cache of this version has. */
async function keptHere(key: string): Promise<Response | undefined> {
  return (await caches.open(CACHE)).match(key);
}

/** Returns what any version's cache has, from the oldest one, whose page is complete. A failing storage has nothing. */
function kept(key: string): Promise<Response | undefined> {
  return caches.match(key).catch(() => undefined);
}

async function servePage(key: string, event: FetchEvent): Promise<Response> {
  const { request } = event;
  const copy = await kept(key);
  // The timeout ends when the answer begins: afterwards the copy could not replace it, and a slow page must not fail.
  const timeout = new AbortController();
  const timer = copy === undefined ? undefined : setTimeout(() => timeout.abort(), PAGE_TIMEOUT);
  try {
    const response = await fetch(request, { signal: timeout.signal });
    // A proxy without a server behind it answers with its own page.
    if (response.status >= 500 && copy !== undefined) return copy;
    keepLater(event, key, response, keepPage);
    return response;
  } catch (cause) {
    if (copy !== undefined) return copy;
    throw cause;
  } finally {
    clearTimeout(timer);
  }
}

async function serveFile(path: string, event: FetchEvent): Promise<Response> {
  const own = await keptHere(path).catch(() => undefined);
  if (own !== undefined) return own;
  const copy = await kept(path);
  try {
    // Another version's copy will do where a digest names the content.
    const response = copy !== undefined && path.startsWith('/assets/') ? copy : await fetch(event.request);
    keepLater(event, path, response);
    return response;
  } catch (cause) {
    if (copy !== undefined) return copy;
    throw cause;
  }
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

/** Names of the caches of other versions, oldest first. */
async function olderCaches(): Promise<string[]> {
  return (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
}

worker.addEventListener('activate', (event) => {
  async function activate() {
    // Without a storage there is nothing to delete.
    const older = await olderCaches().catch(() => []);
    for (const name of older.slice(0, -MAXIMUM_OLDER)) await caches.delete(name).catch(() => false);
    await worker.clients.claim();
  }
  event.waitUntil(activate());
});

/** Keeps a page that was loaded, perhaps before the worker controlled it, with its files. Older versions then lose it. */
async function keepLoaded(urls: string[]): Promise<void> {
  const paths = urls.map((url) => new URL(url, worker.location.origin).pathname);
  await Promise.all(paths.filter(isFile).map(keepFile));
  for (const path of paths) {
    const key = pageKey(path);
    if (key === undefined) continue;
    if ((await keptHere(key)) === undefined) await keepPage(key, await fetch(path));
    const copy = await keptHere(key);
    // A loaded page of another version has files of another version: the copy may lack some.
    const complete = copy !== undefined && (await filesOf(copy)).every((file) => paths.includes(file));
    if (complete) await deleteOlder(key);
  }
}

/** Deletes the copies of a page in the caches of other versions, and the caches that have no other page. */
async function deleteOlder(key: string): Promise<void> {
  for (const name of await olderCaches()) {
    const cache = await caches.open(name);
    await cache.delete(key);
    const rest = (await cache.keys()).map((request) => new URL(request.url).pathname);
    // The sign-in page is of no use without a network.
    if (!rest.some((path) => path !== '/login' && pageKey(path) !== undefined)) await caches.delete(name);
  }
}

worker.addEventListener('message', (event) => {
  const message = event.data as PageMessage;
  if (message.kind === 'activate') event.waitUntil(worker.skipWaiting());
  else event.waitUntil(keepLoaded(message.urls).catch(() => undefined));
});
