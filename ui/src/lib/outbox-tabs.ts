// The outbox of an account in this tab, together with those of the other tabs: one tab sends, all tabs show.
import type { ApiError } from './api/error';
import { Outbox, type Entry } from './outbox';

export interface TabOutboxOptions {
  account: string;
  database: IDBDatabase;
  onChange: (entries: Entry[]) => void;
  onDone?: (entry: Entry, body: unknown) => void;
  onUnauthenticated?: (error: ApiError) => void;
}

export interface TabOutbox {
  outbox: Outbox;
  close(): void;
}

/** Opens the account's outbox. The first tab sends; when it closes, the next one takes over. */
export function openOutbox(options: TabOutboxOptions): TabOutbox {
  const name = `dabba-outbox-${options.account}`;
  const channel = new BroadcastChannel(name);
  const locks = navigator.locks as LockManager | undefined;
  const release = new AbortController();
  let last = '';
  const outbox = new Outbox({
    ...options,
    exclusive: locks !== undefined,
    onChange(entries) {
      // Other tabs read the outbox again whenever this tab changed it, and a tab that only read does not answer.
      const state = entries.map((entry) => `${entry.key}:${entry.state}:${entry.attempts}`).join();
      if (state !== last) channel.postMessage('changed');
      last = state;
      options.onChange(entries);
    },
  });
  channel.onmessage = () => void outbox.changed();
  const online = () => outbox.retryNow();
  addEventListener('online', online);
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
  return {
    outbox,
    close() {
      removeEventListener('online', online);
      channel.close();
      outbox.close();
      release.abort();
    },
  };
}
