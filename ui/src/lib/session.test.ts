import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Session } from './api';
import { settle } from './testing/timers';

type Answer = { status: number; body?: unknown } | 'lost';

const network = { answers: [] as (Answer | Promise<Answer>)[], calls: [] as string[] };
const storage = { deleted: [] as string[], stuck: false };

vi.mock('./api', async (original) => {
  const real = await original<typeof import('./api')>();
  const call = (method: string) => async (path: string) => {
    network.calls.push(`${method} ${path}`);
    const next = await network.answers.shift();
    if (next === undefined) throw new Error(`Nobody expects ${method} ${path}`);
    if (next === 'lost') throw real.ApiError.local('network');
    const response = new Response(null, { status: next.status });
    return next.status < 400 ? { data: next.body, response } : { error: {}, response };
  };
  return { ...real, api: { GET: call('GET'), POST: call('POST'), DELETE: call('DELETE') } };
});

vi.mock('./storage', () => ({
  deleteAccountStorage: (account: string) => {
    storage.deleted.push(account);
    return storage.stuck ? new Promise(() => undefined) : Promise.resolve();
  },
}));

function area(state: { full: boolean } = { full: false }) {
  const texts = new Map<string, string>();
  return {
    texts,
    getItem: (key: string) => texts.get(key) ?? null,
    setItem(key: string, text: string) {
      if (state.full) throw new DOMException('full', 'QuotaExceededError');
      texts.set(key, text);
    },
    removeItem: (key: string) => texts.delete(key),
    key: (index: number) => [...texts.keys()][index] ?? null,
    get length() {
      return texts.size;
    },
  };
}

const session = (id: string) => ({ account: { id, name: id }, server: { now: '2026-11-30T12:00:00Z' } }) as Session;
const signedIn = (id: string): Answer => ({ status: 200, body: session(id) });
const credentials = { email: 'a@dabba.test', password: 'secret' };

let disk: { full: boolean };
let local: ReturnType<typeof area>;
let tab: ReturnType<typeof area>;

/** Loads the module as a page does that begins, with what the browser has kept. */
async function page() {
  vi.resetModules();
  const { onUnauthenticated } = await import('./api');
  const reports: number[] = [];
  const module = await import('./session.svelte');
  onUnauthenticated((error) => reports.push(error.status));
  return { ...module, reports };
}

beforeEach(() => {
  disk = { full: false };
  local = area(disk);
  tab = area();
  vi.stubGlobal('localStorage', local);
  vi.stubGlobal('sessionStorage', tab);
  // Each page of a test is a browser of its own.
  vi.stubGlobal('BroadcastChannel', undefined);
  network.answers = [];
  network.calls = [];
  storage.deleted = [];
  storage.stuck = false;
});

describe('the question who is signed in', () => {
  it('is answered by 401, and nobody asks again', async () => {
    network.answers = [{ status: 401 }];
    const { loadSession, reports } = await page();
    expect(await loadSession()).toBeUndefined();
    expect(reports).toEqual([]);
    expect(network.calls).toEqual(['GET /v1/session']);
  });

  it('is answered by the kept session without a network', async () => {
    network.answers = [signedIn('a'), 'lost'];
    await (await page()).loadSession();
    const { loadSession, current } = await page();
    expect(await loadSession()).toEqual(session('a'));
    expect(current.unconfirmed).toBe(true);
  });

  it('has no answer without a network once the server has ended the session', async () => {
    network.answers = [signedIn('a'), { status: 401 }, 'lost'];
    await (await page()).loadSession();
    await (await page()).loadSession();
    await expect((await page()).loadSession()).rejects.toMatchObject({ code: 'network' });
    expect(storage.deleted).toEqual([]);
  });

  it('has no answer either if another call has learnt of the end', async () => {
    network.answers = [signedIn('a'), 'lost'];
    const first = await page();
    await first.loadSession();
    const { reportUnauthenticated, ApiError } = await import('./api');
    reportUnauthenticated(new ApiError(401, {}));
    await expect((await page()).loadSession()).rejects.toMatchObject({ code: 'network' });
  });
});

describe('a sign-in', () => {
  it('with another account ends the earlier one before it deletes what the browser keeps of it', async () => {
    network.answers = [signedIn('a'), signedIn('b')];
    const { loadSession, signIn, isLastAccount } = await page();
    await loadSession();
    expect(isLastAccount('a')).toBe(true);
    storage.stuck = true;
    void signIn(credentials);
    await settle();
    expect(storage.deleted).toEqual(['a']);
    expect([isLastAccount('a'), isLastAccount('b')]).toEqual([false, true]);
  });

  it('of the account whose session had ended keeps what the account has not sent', async () => {
    network.answers = [signedIn('a'), { status: 401 }, signedIn('a')];
    await (await page()).loadSession();
    const { loadSession, signIn } = await page();
    await loadSession();
    local.setItem('dabba.order.cart.1', 'cart');
    await signIn(credentials);
    expect(storage.deleted).toEqual([]);
    expect(local.getItem('dabba.order.cart.1')).toBe('cart');
  });

  it('of another account deletes what the account and the person before left', async () => {
    network.answers = [signedIn('a'), { status: 401 }, signedIn('b')];
    await (await page()).loadSession();
    const { loadSession, signIn, onOtherAccount } = await page();
    await loadSession();
    local.setItem('dabba.order.cart.1', 'cart');
    tab.setItem('dabba.order.details.1', 'address');
    const heard = vi.fn();
    onOtherAccount(heard);
    await signIn(credentials);
    expect(storage.deleted).toEqual(['a']);
    expect(heard).toHaveBeenCalledOnce();
    expect([...local.texts.keys(), ...tab.texts.keys()].filter((key) => key.startsWith('dabba.order'))).toEqual([]);
  });

  it('with a wrong password is not reported as the end of a session', async () => {
    network.answers = [signedIn('a'), { status: 401 }, 'lost'];
    const { loadSession, signIn, reports } = await page();
    await loadSession();
    await expect(signIn(credentials)).rejects.toMatchObject({ status: 401 });
    expect(reports).toEqual([]);
    expect(await loadSession()).toEqual(session('a'));
  });
});

describe('a sign-out', () => {
  const PERSONAL = ['dabba.order.cart.1', 'dabba.order.attempt.2', 'dabba.order.again.1'];

  it('deletes what the browser and the tab keep of the person, and nothing of the device', async () => {
    network.answers = [signedIn('a'), { status: 204 }];
    const { loadSession, signOut } = await page();
    await loadSession();
    for (const key of [...PERSONAL, 'dabba.language']) local.setItem(key, 'x');
    for (const key of ['dabba.order.details.1', 'dabba.order.links', 'dabba.tracking.T']) tab.setItem(key, 'x');
    await signOut();
    expect([...local.texts.keys()].sort()).toEqual(['dabba.language', 'dabba.person']);
    expect([...tab.texts.keys()]).toEqual(['dabba.person']);
    expect(storage.deleted).toEqual(['a']);
  });

  it('reaches a tab that showed a page without a session meanwhile', async () => {
    network.answers = [signedIn('a'), { status: 204 }];
    const other = area();
    other.setItem('dabba.order.details.1', 'address');
    const { loadSession, signOut } = await page();
    await loadSession();
    await signOut();
    vi.stubGlobal('sessionStorage', other);
    await page();
    expect([...other.texts.keys()]).toEqual(['dabba.person']);
    // What the next person enters in that tab stays over a reload.
    other.setItem('dabba.order.details.1', 'another address');
    await page();
    expect(other.getItem('dabba.order.details.1')).toBe('another address');
  });

  it('ends the session although another tab holds the database', async () => {
    network.answers = [signedIn('a'), { status: 204 }];
    storage.stuck = true;
    const { loadSession, signOut } = await page();
    await loadSession();
    void signOut();
    await settle();
    expect(network.calls.at(-1)).toBe('DELETE /v1/session');
    expect(local.getItem('dabba.sign-out-pending')).toBeNull();
  });

  it('comes before the sign-in of the next person', async () => {
    let answer: (answer: Answer) => void = () => undefined;
    const slow = new Promise<Answer>((resolve) => (answer = resolve));
    network.answers = [signedIn('a'), slow, signedIn('b')];
    const { loadSession, signOut, signIn, current } = await page();
    await loadSession();
    void signOut();
    const entered = signIn(credentials);
    await settle();
    expect(network.calls.at(-1)).toBe('DELETE /v1/session');
    answer({ status: 204 });
    await entered;
    expect(network.calls.at(-1)).toBe('POST /v1/session');
    expect(current.session).toEqual(session('b'));
  });

  it('deletes everything although the storage is full', async () => {
    network.answers = [signedIn('a'), 'lost'];
    const { loadSession, signOut, current } = await page();
    await loadSession();
    for (const key of PERSONAL) local.setItem(key, 'x');
    disk.full = true;
    await signOut();
    expect(current.session).toBeUndefined();
    expect([...local.texts.keys()]).toEqual([]);
    expect(storage.deleted).toEqual(['a']);
  });
});
