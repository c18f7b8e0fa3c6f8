import { afterEach, beforeEach, expect, it, vi } from 'vitest';

const ORIGIN = 'http://dabba.test';

/** The kept texts by key. */
const copies = new Map<string, string>();
const cache = {
  match: (key: string) => Promise.resolve(copies.has(key) ? new Response(copies.get(key)) : undefined),
  put: async (key: string, response: Response) => void copies.set(key, await response.text()),
};
const handlers = new Map<string, (event: unknown) => void>();
let network: (signal: AbortSignal) => Promise<Response>;

/** Opens the board as a browser does that navigates. */
async function navigate(): Promise<string> {
  let answer: Promise<Response> | undefined;
  handlers.get('fetch')?.({
    request: { url: `${ORIGIN}/kitchen/1`, method: 'GET', mode: 'navigate' },
    respondWith: (response: Promise<Response>) => (answer = response),
    waitUntil: () => undefined,
  });
  return (await answer)?.text() ?? 'no answer';
}

beforeEach(async () => {
  vi.useFakeTimers();
  vi.spyOn(AbortSignal, 'timeout').mockImplementation((delay) => {
    const timeout = new AbortController();
    setTimeout(() => timeout.abort(), delay);
    return timeout.signal;
  });
  vi.stubGlobal('__BUILD__', 'build');
  vi.stubGlobal('caches', { open: () => Promise.resolve(cache), match: cache.match });
  vi.stubGlobal('self', {
    location: { origin: ORIGIN },
    addEventListener: (event: string, handler: (event: unknown) => void) => handlers.set(event, handler),
  });
  vi.stubGlobal('fetch', (_request: unknown, { signal }: { signal: AbortSignal }) => network(signal));
  vi.resetModules();
  // The worker is a script, so that it cannot be imported as a module with types.
  await vi.importActual('./sw');
  copies.clear();
  copies.set('/kitchen/-', 'copy');
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

const failure = (signal: AbortSignal) => new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));

it('a page comes from the cache if the network does not answer in time', async () => {
  network = failure;
  const page = navigate();
  await vi.advanceTimersByTimeAsync(4_000);
  expect(await page).toBe('copy');
});

it('a slow page does not fail once its answer has begun', async () => {
  network = (signal) => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        signal.addEventListener('abort', () => controller.error(new Error('aborted')));
        setTimeout(() => {
          if (signal.aborted) return;
          controller.enqueue(new TextEncoder().encode('page'));
          controller.close();
        }, 10_000);
      },
    });
    return Promise.resolve(new Response(body));
  };
  const page = navigate();
  page.catch(() => undefined);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await page).toBe('page');
});
