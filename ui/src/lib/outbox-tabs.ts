// The outbox of an account in this tab, together with those of the other tabs: one tab sends, all tabs show.
import type { ApiError } from './api/error';
import { Outbox, type Entry } from './outbox';
import { forgetSession, isLastAccount, onSignIn, onSignOut } from './session.svelte';

export interface TabOutboxOptions {
  account: string;
  database: IDBDatabase;
  onChange: (entries: Entry[]) => void;
  onDone?: (entry: Entry, body: unknown) => void;
  onUnauthenticated?: (error: ApiError) => void;
  unreachable?: () => Promise<boolean>;
}

export interface TabOutbox {
  outbox: Outbox;
  close(): void;
}

/**
 * Opens the account's outbox. The first tab sends; when it closes, the next one takes over. A sign-out in any tab closes it,
 * and a sign-in in another tab continues what a 401 has stopped.
 */
export function openOutbox(options: TabOutboxOptions): TabOutbox {
  const name = `dabba-outbox-${options.account}`;
  const channel = new BroadcastChannel(name);
  const locks = navigator.locks as LockManager | undefined;
  const release = new AbortController();
  let last = '';
  const outbox = new Outbox({
    ...options,
    exclusive: locks !== undefined,
    // The notice of another tab's sign-in may arrive after the cookie of the other account.
    isAccount: () => isLastAccount(options.account),
    onChange(entries) {
      // Other tabs read the outbox again whenever this tab changed it, and a tab that only read does not answer.
      const state = entries.map((entry) => `${entry.key}:${entry.state}:${entry.attempts}`).join();
      if (state !== last && !release.signal.aborted) channel.postMessage('changed');
      last = state;
      options.onChange(entries);
    },
    onUnauthenticated(error) {
      forgetSession();
      options.onUnauthenticated?.(error);
    },
  });
  channel.onmessage = () => void outbox.changed();
  const online = () => outbox.retryNow();
  addEventListener('online', online);
  const endings = [onSignIn(online), onSignOut(close)];
  if (locks === undefined) {
    outbox.start();
  } else {
    locks
      .request(name, { signal: release.signal }, () => {
        outbox.start();
        return new Promise<void>((resolve) => release.signal.addEventListener('abort', () => resolve()));
      })
      .catch(() => undefined);
  }

  function close() {
    for (const end of endings) end();
    removeEventListener('online', online);
    channel.close();
    outbox.close();
    release.abort();
  }

  return { outbox, close };
}
