// The session of this browser: who is signed in, and what belongs to the account.
//
// The last known session is kept in `localStorage`, so that a page can start without a network, until the server says that
// it has ended. A sign-out deletes what the browser keeps of the account and of the person at once, also offline; only the
// cookie, which scripts cannot delete, has to wait: the next page that reaches the server ends the session there before it
// does anything else.
import { api, ApiError, onUnauthenticated, unwrap, type Session } from './api';
import { clock } from './clock';
import { kept, keptInTab } from './kept';
import { uuid } from './random';
import { deleteAccountStorage } from './storage';

const SESSION = 'dabba.session';
/** Id of the account that was signed in last, also after its session has ended: what the browser keeps belongs to it. */
const ACCOUNT = 'dabba.account';
const SIGN_OUT_PENDING = 'dabba.sign-out-pending';
/** Changes whenever the person changes, so that a tab that showed a page without this module forgets what it keeps, too. */
const PERSON = 'dabba.person';
/** Prefixes of what the browser keeps of a person outside the account's database: carts, addresses, attempts, tracked orders. */
const PERSONAL = ['dabba.order.', 'dabba.tracking.', 'dabba.kitchen.print.'];
const CHANNEL = 'dabba-session';

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
// eslint-disable-next-line svelte/prefer-svelte-reactivity -- nothing shows the listeners
const otherAccountListeners = new Set<() => void>();

type Notice = 'signed-in' | 'signed-out';

onUnauthenticated(forgetSession);
if (keptInTab.get(PERSON) !== kept.get(PERSON)) forgetInTab();

channel?.addEventListener('message', (event: MessageEvent<Notice>) => {
  if (event.data === 'signed-in') {
    for (const listener of signInListeners) listener();
    return;
  }
  state.session = undefined;
  forgetInTab();
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
  kept.set(ACCOUNT, session.account.id);
  kept.set(SESSION, JSON.stringify(session));
  return session;
}

function lastAccount(): string | undefined {
  return kept.get(ACCOUNT) ?? readKept()?.account.id;
}

/** Whether `account` signed in last in this browser, and has not signed out since: requests then are requests of this account. */
export function isLastAccount(account: string): boolean {
  return lastAccount() === account;
}

/**
 * Forgets the kept session, because the server has ended it: without a network, a page must show nothing of the account
 * any more. What the account has not sent yet stays until a person signs in.
 */
export function forgetSession(): void {
  const account = lastAccount();
  kept.delete(SESSION);
  if (account !== undefined) kept.set(ACCOUNT, account);
}

/** Forgets what this tab keeps of a person. */
function forgetInTab(): void {
  for (const prefix of PERSONAL) keptInTab.deleteAll(prefix);
  const person = kept.get(PERSON);
  if (person !== null) keptInTab.set(PERSON, person);
}

/** Forgets what the browser keeps of a person outside the account's database. */
function forgetPerson(): void {
  for (const prefix of PERSONAL) kept.deleteAll(prefix);
  kept.set(PERSON, uuid());
  forgetInTab();
}

/** The server's part of this tab's sign-out, while it is under way. */
let ending: Promise<unknown> | undefined;

/** Ends the server's part of a sign-out that happened offline. Throws if the server does not answer. */
async function finishPendingSignOut(): Promise<void> {
  if (kept.get(SIGN_OUT_PENDING) === null) return;
  await unwrap(api.DELETE('/v1/session'), { quiet: true });
  kept.delete(SIGN_OUT_PENDING);
}

/**
 * Returns the session, or `undefined` if nobody is signed in. Without an answer of the server it returns the last known
 * session (`current.unconfirmed`), and throws if there is none.
 */
export async function loadSession(): Promise<Session | undefined> {
  try {
    await finishPendingSignOut();
    return keep(await unwrap(api.GET('/v1/session'), { quiet: true }));
  } catch (cause) {
    if (!(cause instanceof ApiError)) throw cause;
    if (cause.status === 401) {
      state.session = undefined;
      forgetSession();
      return undefined;
    }
    if (kept.get(SIGN_OUT_PENDING) !== null) return undefined;
    const known = cause.retryable ? readKept() : undefined;
    if (known === undefined) throw cause;
    state.session = known;
    state.unconfirmed = true;
    return known;
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
  // The answer to a sign-out deletes the cookie, so it must not come after the answer to the sign-in.
  await ending;
  const session = await unwrap(api.POST('/v1/session', { body: credentials }), { quiet: true });
  kept.delete(SIGN_OUT_PENDING);
  const earlier = lastAccount();
  if (earlier !== undefined && earlier !== session.account.id) {
    kept.delete(SESSION);
    // From now on, requests carry the cookie of this account.
    kept.set(ACCOUNT, session.account.id);
    forgetPerson();
    // Tabs of the earlier account must not send its commands with this account's cookie.
    channel?.postMessage('signed-out' satisfies Notice);
    for (const listener of otherAccountListeners) listener();
    await deleteAccountStorage(earlier).catch(() => undefined);
  }
  channel?.postMessage('signed-in' satisfies Notice);
  return keep(session);
}

/** Calls `listener` when another tab signs in: what waited for a session can go on. */
export function onSignIn(listener: () => void): () => void {
  signInListeners.add(listener);
  return () => signInListeners.delete(listener);
}

/** Calls `listener` when this tab signs in with another account than the last one, whose data is forgotten. */
export function onOtherAccount(listener: () => void): () => void {
  otherAccountListeners.add(listener);
  return () => otherAccountListeners.delete(listener);
}

/** Calls `listener` when this tab or another one signs out: streams and the outbox must close at once. */
export function onSignOut(listener: () => void): () => void {
  signOutListeners.add(listener);
  return () => signOutListeners.delete(listener);
}

/** Signs out. The browser keeps nothing of the account afterwards, whether or not the server answers. */
export async function signOut(): Promise<void> {
  const account = state.session?.account.id ?? lastAccount();
  // Deletions come first: they need no space, and make some in a full storage.
  kept.delete(SESSION);
  kept.delete(ACCOUNT);
  forgetPerson();
  kept.set(SIGN_OUT_PENDING, '1');
  state.session = undefined;
  // The server does not wait for the browser's storage, which another tab may hold.
  ending = finishPendingSignOut().catch(() => undefined);
  for (const listener of signOutListeners) listener();
  channel?.postMessage('signed-out' satisfies Notice);
  if (account !== undefined) await deleteAccountStorage(account).catch(() => undefined);
  await ending;
}

/** Address of the sign-in page that leads back to this page. */
export function signInAddress(next = location.pathname + location.search): string {
  return `/login#next=${encodeURIComponent(next)}`;
}
