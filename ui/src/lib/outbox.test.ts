import 'fake-indexeddb/auto';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { ApiError } from './api/error';
import { CLAIM_DURATION, MAXIMUM_PARALLEL, Outbox, UNDO_DELAY, type Entry, type OutboxOptions } from './outbox';
import { deleteAccountStorage, openAccountStorage } from './storage';
import { ManualTimers, settle } from './testing/timers';

vi.stubGlobal('location', { origin: 'http://dabba.test' });

/** A server that remembers what it carried out by idempotency key, and answers as the test says. */
class FakeServer {
  readonly requests: { key: string; path: string; body: string }[] = [];
  readonly done = new Map<string, string>();
  /**
   * Answers of the next requests. `lost` carries the command out, and loses the answer; `cut` loses the end of the answer.
   * `changes`: other requests were faster. `hang` never answers.
   */
  readonly script: (number | 'lost' | 'cut' | 'changes' | 'down' | 'hang')[] = [];
  headers: Record<string, string> = {};

  readonly fetch = async (request: Request): Promise<Response> => {
    const key = request.headers.get('Idempotency-Key') ?? '';
    const path = new URL(request.url).pathname;
    this.requests.push({ key, path, body: await request.text() });
    const answer = this.script.shift() ?? 200;
    if (answer === 'hang') return new Promise<Response>(() => undefined);
    if (answer === 'down') throw new TypeError('refused');
    if (answer === 'lost' || answer === 'cut' || answer === 200) this.done.set(key, path);
    if (answer === 'lost') throw new TypeError('broken');
    if (answer === 'cut') return new Response('{"path":');
    if (answer === 'changes') return new Response('{"code":"too_many_changes"}', { status: 409 });
    const body = answer === 200 ? { path } : { code: `code_${answer}`, title: 'Refused', detail: 'Because' };
    return new Response(JSON.stringify(body), { status: answer, headers: this.headers });
  };

  get paths(): string[] {
    return this.requests.map((request) => request.path);
  }
}

let account = 0;

async function open(server: FakeServer, timers: ManualTimers, options: Partial<OutboxOptions> = {}) {
  const database = await openAccountStorage(`account-${account}`);
  const seen: { entries: Entry[]; done: [string, unknown][]; unauthenticated: ApiError[] } = {
    entries: [],
    done: [],
    unauthenticated: [],
  };
  const outbox = new Outbox({
    database,
    exclusive: true,
    onChange: (entries) => (seen.entries = entries),
    onDone: (entry, body) => seen.done.push([entry.path, body]),
    onUnauthenticated: (error) => seen.unauthenticated.push(error),
    timers,
    random: () => 0,
    fetch: server.fetch,
    ...options,
  });
  return { outbox, database, seen };
}

async function start(options: Partial<OutboxOptions> = {}) {
  const server = new FakeServer();
  const timers = new ManualTimers();
  const page = await open(server, timers, options);
  page.outbox.start();
  await settle();
  return { server, timers, ...page };
}

const command = (path: string, group = 'order-1') => ({ group, method: 'POST' as const, path, body: { note: path } });

beforeEach(() => {
  account += 1;
});

describe('the outbox', () => {
  it('sends a command with the key of the tap, and removes it when it is done', async () => {
    const { server, outbox, seen } = await start();
    const key = await outbox.put(command('/v1/orders/1/accept'));
    await settle();
    expect(server.requests).toEqual([{ key, path: '/v1/orders/1/accept', body: '{"note":"/v1/orders/1/accept"}' }]);
    expect(seen.done).toEqual([['/v1/orders/1/accept', { path: '/v1/orders/1/accept' }]]);
    expect(await outbox.entries()).toEqual([]);
  });

  it.each(['lost', 'cut', 'changes', 'down', 500, 503, 429, 408] as const)('retries with the same key after %s', async (failure) => {
    const { server, timers, outbox } = await start();
    server.script.push(failure, failure);
    const key = await outbox.put(command('/accept'));
    await timers.advance(500);
    await timers.advance(500);
    expect(server.requests.map((request) => request.key)).toEqual([key, key, key]);
    expect(server.done.size).toBe(1);
    expect(await outbox.entries()).toEqual([]);
  });

  it('sends a command once although the page fails to show its answer', async () => {
    const reported: unknown[] = [];
    vi.stubGlobal('reportError', (cause: unknown) => reported.push(cause));
    const cause = new TypeError('unexpected');
    const { server, timers, outbox } = await start({
      onDone() {
        throw cause;
      },
    });
    await outbox.put(command('/accept'));
    await timers.advance(60_000);
    expect(server.requests).toHaveLength(1);
    expect(await outbox.entries()).toEqual([]);
    expect(reported).toEqual([cause]);
  });

  it('waits as long as Retry-After asks', async () => {
    const { server, timers, outbox } = await start();
    server.script.push(503);
    server.headers = { 'retry-after': '7' };
    await outbox.put(command('/accept'));
    await timers.advance(7_400);
    expect(server.requests).toHaveLength(1);
    await timers.advance(200);
    expect(server.requests).toHaveLength(2);
  });

  it.each([400, 403, 404, 409, 422])('shows a refusal with %i until it is dismissed', async (status) => {
    const { server, timers, outbox, seen } = await start();
    server.script.push(status);
    const key = await outbox.put(command('/accept'));
    await timers.advance(120_000);
    expect(server.requests).toHaveLength(1);
    const problem = { status, code: `code_${status}`, title: 'Refused', detail: 'Because' };
    expect(seen.entries).toMatchObject([{ key, state: 'refused', problem }]);
    expect(await outbox.dismiss(key)).toBe(true);
    expect(seen.entries).toEqual([]);
  });

  it('sends the commands of one order one after the other, and those of other orders meanwhile', async () => {
    const { server, timers, outbox } = await start();
    server.script.push('down', 200);
    await outbox.put(command('/1/accept', '1'));
    await outbox.put(command('/1/ready', '1'));
    await outbox.put(command('/2/accept', '2'));
    await settle();
    expect(server.paths).toEqual(['/1/accept', '/2/accept']);
    await timers.advance(500);
    expect(server.paths).toEqual(['/1/accept', '/2/accept', '/1/accept', '/1/ready']);
  });

  it('goes on with an order after a refusal', async () => {
    const { server, outbox } = await start();
    server.script.push(409);
    await outbox.put(command('/1/accept'));
    await outbox.put(command('/1/cancel'));
    await settle();
    expect(server.paths).toEqual(['/1/accept', '/1/cancel']);
  });

  it('sends to a limited number of orders at the same time', async () => {
    const { server, outbox } = await start();
    server.script.push(...Array.from({ length: 10 }, () => 'hang' as const));
    for (let order = 0; order < 10; order += 1) await outbox.put(command('/accept', `order-${order}`));
    await settle();
    expect(server.requests).toHaveLength(MAXIMUM_PARALLEL);
  });

  it('stops at 401, and continues after a sign-in', async () => {
    const { server, timers, outbox, seen } = await start();
    server.script.push(401);
    const key = await outbox.put(command('/accept'));
    await timers.advance(60_000);
    expect(server.requests).toHaveLength(1);
    expect(seen.unauthenticated).toHaveLength(1);
    expect(await outbox.entries()).toMatchObject([{ key }]);
    outbox.retryNow();
    await settle();
    expect(server.done.get(key)).toBe('/accept');
  });
});

describe('an account that ends while a command is about to be sent', () => {
  it('sends nothing after the outbox is closed', async () => {
    const page = await start({
      onChange(entries) {
        if (entries.some((entry) => entry.state === 'sending')) page.outbox.close();
      },
    });
    const key = await page.outbox.put(command('/accept'));
    await settle();
    expect(page.server.requests).toEqual([]);
    expect(await page.outbox.entries()).toMatchObject([{ key, claimed: 0 }]);
  });

  it('sends nothing while another account is signed in', async () => {
    let mine = true;
    const { server, timers, outbox } = await start({
      isAccount: () => mine,
      onChange(entries) {
        if (entries.some((entry) => entry.attempts === 1)) mine = false;
      },
    });
    const key = await outbox.put(command('/1/accept', '1'));
    const other = await outbox.put(command('/2/accept', '2'));
    await timers.advance(60_000);
    expect(server.requests).toEqual([]);
    // The command that waited was not claimed, so that it can be undone.
    expect(await outbox.undo(other)).toBe(true);
    const [entry] = await outbox.entries();
    expect(entry).toMatchObject({ key, state: 'sending', attempts: 1, claimed: 0 });
  });
});

describe('undo', () => {
  it('removes a command during its delay, and nothing is sent', async () => {
    const { server, timers, outbox } = await start();
    const key = await outbox.put(command('/accept'), UNDO_DELAY);
    await timers.advance(UNDO_DELAY - 1);
    expect(await outbox.undo(key)).toBe(true);
    await timers.advance(60_000);
    expect(server.requests).toEqual([]);
  });

  it('is impossible once the command may have reached the server', async () => {
    const { server, timers, outbox } = await start();
    server.script.push('down');
    const key = await outbox.put(command('/accept'), UNDO_DELAY);
    await timers.advance(UNDO_DELAY);
    expect(server.requests).toHaveLength(1);
    expect(await outbox.undo(key)).toBe(false);
    await timers.advance(60_000);
    expect(server.done.get(key)).toBe('/accept');
  });

  it('is possible as long as the server does not answer, because nothing was sent', async () => {
    let unreachable = true;
    const { server, timers, outbox } = await start({ unreachable: () => Promise.resolve(unreachable) });
    const [undone, kept] = [await outbox.put(command('/1', '1'), UNDO_DELAY), await outbox.put(command('/2', '2'), UNDO_DELAY)];
    await timers.advance(UNDO_DELAY + 60_000);
    expect(await outbox.undo(undone)).toBe(true);
    unreachable = false;
    outbox.retryNow();
    await settle();
    expect(server.requests.map(({ key }) => key)).toEqual([kept]);
  });

  it('removes nothing, and rejects nothing, once the database is closed', async () => {
    const { outbox, database } = await start();
    const key = await outbox.put(command('/accept'), UNDO_DELAY);
    database.close();
    expect(await outbox.undo(key)).toBe(false);
    expect(await outbox.dismiss(key)).toBe(false);
  });

  it('does not keep a command longer because the clock of the device went back', async () => {
    const { server, timers, outbox } = await start();
    await outbox.put(command('/accept'), UNDO_DELAY);
    timers.setWall(timers.wall() - 86_400_000);
    await timers.advance(UNDO_DELAY * 2);
    expect(server.requests).toHaveLength(1);
  });
});

describe('an outbox that is opened again', () => {
  it('sends what an earlier page left, with the same key', async () => {
    const { server, timers, outbox, database } = await start();
    server.script.push('lost');
    const key = await outbox.put(command('/accept'));
    await settle();
    outbox.close();
    database.close();
    const next = await open(server, timers);
    next.outbox.start();
    await settle();
    expect(server.requests.map((request) => request.key)).toEqual([key, key]);
    expect(server.done.size).toBe(1);
  });

  it('is not changed by the late end of an earlier page', async () => {
    const { server, timers, outbox } = await start({ fetch: (request) => server.fetch(request).then(() => late) });
    let answer: (response: Response) => void = () => undefined;
    const late = new Promise<Response>((resolve) => (answer = resolve));
    await outbox.put(command('/accept'));
    await settle();
    expect(server.requests).toHaveLength(1);
    outbox.close();
    const next = await open(server, timers);
    next.outbox.start();
    await settle();
    expect(await next.outbox.entries()).toEqual([]);
    answer(new Response('{}', { status: 503 }));
    await settle();
    expect(await next.outbox.entries()).toEqual([]);
  });

  it('keeps refusals', async () => {
    const { server, timers, outbox, database } = await start();
    server.script.push(409);
    const key = await outbox.put(command('/accept'));
    await settle();
    outbox.close();
    database.close();
    const next = await open(server, timers);
    next.outbox.start();
    await settle();
    expect(next.seen.entries).toMatchObject([{ key, state: 'refused' }]);
  });

  it('belongs to one account, and is gone after a sign-out', async () => {
    const { server, timers, outbox } = await start();
    server.script.push('down');
    await outbox.put(command('/accept'));
    await settle();
    outbox.close();
    await deleteAccountStorage(`account-${account}`);
    const next = await open(server, timers);
    expect(await next.outbox.entries()).toEqual([]);
  });
});

describe('two tabs', () => {
  it('without Web Locks send a command once while the claim of the first lasts', async () => {
    const { server, timers, outbox } = await start({ exclusive: false });
    const other = await open(server, timers, { exclusive: false });
    other.outbox.start();
    server.script.push('hang');
    const key = await outbox.put(command('/accept'));
    await settle();
    await other.outbox.changed();
    await timers.advance(CLAIM_DURATION - 1_000);
    expect(server.requests).toHaveLength(1);
    await timers.advance(1_000);
    expect(server.requests.map((request) => request.key)).toEqual([key, key]);
  });

  it('agree on an undo: either it is sent, or it is undone', async () => {
    const { server, timers, outbox } = await start();
    const other = await open(server, timers);
    const key = await outbox.put(command('/accept'), UNDO_DELAY);
    expect(await other.outbox.undo(key)).toBe(true);
    await timers.advance(UNDO_DELAY);
    expect(server.requests).toEqual([]);
  });
});
