// The session of this browser: who is signed in, and what belongs to the account.
//
// The browser keeps the last known session, so that a page can start without a network. A sign-out deletes what
// the browser keeps of the account at once, also offline; only the cookie, which scripts cannot delete, has to wait: the
// next page that reaches the server ends the session there before it does anything else.
import { api, ApiError, unwrap, type Session } from './api';
import { clock } from './clock';
import { kept } from './kept';
import { deleteAccountStorage } from './storage';

const SESSION = 'dabba.session';
const SIGN_OUT_PENDING = 'dabba.sign-out-pending';
const CHANNEL = 'dabba-session';

/** Names of the caches of the service worker that belong to an account. */
const ACCOUNT_CACHE_PREFIX = 'dabba-account-';

interface State {
  session: Session | undefined;
  /** Whether the session is the last known one, because the server does not answer. */
  unconfirmed: boolean;
}

const state = $state<State>({ session: undefined, unconfirmed: false });
const channel = typeof BroadcastChannel === 'undefined' ? undefined : new BroadcastChannel(CHANNEL);
// eslint-disable-next-line svelte/prefer-svelte-reactivity -- nothing shows the listeners
const signOutListeners = new Set<() => void>();
// eslint-disable-next-line svelte/prefer-svelte-reactivity -- nothing shows the listeners
const signInListeners = new Set<() => void>();

type Notice = 'signed-in' | 'signed-out';

channel?.addEventListener('message', (event: MessageEvent<Notice>) => {
  if (event.data === 'signed-in') {
    for (const listener of signInListeners) listener();
    return;
  }
  state.session = undefined;
  for (const listener of signOutListeners) listener();
});

/** The session, for components. `undefined` until `loadSession` or a sign-in succeeds, and after a sign-out. */
export const current = {
  get session(): Session | undefined {
    return state.session;
  },
  get unconfirmed(): boolean {
    return state.unconfirmed;
  },
};

function readKept(): Session | undefined {
  try {
    const text = kept.get(SESSION);
    return text === null ? undefined : (JSON.parse(text) as Session);
  } catch {
    return undefined;
  }
}

function keep(session: Session): Session {
  clock.observe(session.server.now);
  state.session = session;
  state.unconfirmed = false;
  kept.set(SESSION, JSON.stringify(session));
  return session;
}

/** Ends the server's part of a sign-out that happened offline. Throws if the server does not answer. */
async function finishPendingSignOut(): Promise<void> {
  if (kept.get(SIGN_OUT_PENDING) === null) return;
  await unwrap(api.DELETE('/v1/session'));
  kept.delete(SIGN_OUT_PENDING);
}

/**
 * Returns the session, or `undefined` if nobody is signed in. Without an answer of the server it returns the last known
 * session (`current.unconfirmed`), and throws if there is none.
 */
export async function loadSession(): Promise<Session | undefined> {
  try {
    await finishPendingSignOut();
    const call = api.GET('/v1/session');
    // The 401 is the answer to the question: the session did not end under the page, so no listener hears of it.
    if ((await call).response.status === 401) {
      state.session = undefined;
      return undefined;
    }
    return keep(await unwrap(call));
  } catch (cause) {
    if (!(cause instanceof ApiError)) throw cause;
    if (kept.get(SIGN_OUT_PENDING) !== null) return undefined;
    const earlier = cause.retryable ? readKept() : undefined;
    if (earlier === undefined) throw cause;
    state.session = earlier;
    state.unconfirmed = true;
    return earlier;
  }
}

/**
 * Returns the session of a page that needs one. If nobody is signed in, it leads to the sign-in page, which leads back, and
 * never resolves. Call it when the page starts: a board that rings must not leave by itself when its session ends.
 */
export async function requireSession(): Promise<Session> {
  const session = await loadSession();
  if (session !== undefined) return session;
  location.replace(signInAddress());
  return new Promise(() => undefined);
}

/** Signs in with a password or a one-time link. */
export async function signIn(
  credentials: { email: string; password: string } | { link_token: string },
): Promise<Session> {
  const session = await unwrap(api.POST('/v1/session', { body: credentials }));
  kept.delete(SIGN_OUT_PENDING);
  const earlier = readKept();
  if (earlier !== undefined && earlier.account.id !== session.account.id) {
    // Tabs of the earlier account must not send its commands with this account's cookie.
    channel?.postMessage('signed-out' satisfies Notice);
    await clearAccount(earlier.account.id);
  }
  channel?.postMessage('signed-in' satisfies Notice);
  return keep(session);
}

/** Calls `listener` when another tab signs in: what waited for a session can go on. */
export function onSignIn(listener: () => void): () => void {
  signInListeners.add(listener);
  return () => signInListeners.delete(listener);
}

/** Calls `listener` when this tab or another one signs out: streams and the outbox must close at once. */
export function onSignOut(listener: () => void): () => void {
  signOutListeners.add(listener);
  return () => signOutListeners.delete(listener);
}

/** Signs out. The browser keeps nothing of the account afterwards, whether or not the server answers. */
export async function signOut(): Promise<void> {
  const account = (state.session ?? readKept())?.account.id;
  kept.set(SIGN_OUT_PENDING, '1');
  kept.delete(SESSION);
  state.session = undefined;
  for (const listener of signOutListeners) listener();
  channel?.postMessage('signed-out' satisfies Notice);
  if (account !== undefined) await clearAccount(account);
  await finishPendingSignOut().catch(() => undefined);
}

async function clearAccount(account: string): Promise<void> {
  await deleteAccountStorage(account).catch(() => undefined);
  if (typeof caches === 'undefined') return;
  // A browser that blocks storage refuses the names, and keeps nothing.
  const names = await caches.keys().catch(() => []);
  for (const name of names) if (name.startsWith(ACCOUNT_CACHE_PREFIX)) await caches.delete(name).catch(() => false);
}

/** Address of the sign-in page that leads back to this page. */
export function signInAddress(next = location.pathname + location.search): string {
  return `/login#next=${encodeURIComponent(next)}`;
}
