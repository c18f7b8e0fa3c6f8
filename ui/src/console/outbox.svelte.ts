/* eslint-disable svelte/prefer-svelte-reactivity -- no component shows the map */
// The commands that were given and are not done. They go through the outbox: an unanswered command survives a reload and a
// crash of the server with its idempotency key, and a refusal stays until a person has seen it.
import { SvelteSet } from 'svelte/reactivity';
import { reportUnauthenticated, type Order } from '../lib/api';
import { openOutbox, type TabOutbox } from '../lib/outbox-tabs';
import { openAccountStorage } from '../lib/storage';
import { givenOf, requestOf, settled, type Given, type Outcome } from './given';
import type { Command } from './orders/commands';

let entries = $state.raw<readonly Given[]>([]);
let unavailable = $state(false);
/** Commands whose dialog is open and shows what becomes of them. */
const attended = new SvelteSet<string>();
/** Number of commands that are being kept: until a command's key is known, no list shows it. */
let keeping = $state(0);
const waiters = new Map<string, (outcome: Outcome) => void>();
let opened: { tab: TabOutbox; database: IDBDatabase } | undefined;

export const outbox = {
  /** Commands without an answer that no dialog shows. */
  get unanswered(): readonly Given[] {
    return keeping > 0 ? [] : entries.filter((given) => given.refusal === undefined && !attended.has(given.key));
  },
  /** Refused commands that no dialog shows. */
  get refused(): readonly Given[] {
    return entries.filter((given) => given.refusal !== undefined && !attended.has(given.key));
  },
  /** Whether the browser keeps nothing, so that no command can be given. */
  get unavailable(): boolean {
    return unavailable;
  },
};

interface Options {
  account: string;
  /** Text of a failure to keep a command. */
  unsaved: () => string;
  /** Called for a command that is done and that no dialog shows. */
  onDone: (given: Given) => void;
}

let unsaved = () => '';

function follow(next: readonly Given[], onDone: Options['onDone']): void {
  const changes = settled(entries, next);
  entries = next;
  for (const { given, outcome } of changes) {
    const waiter = waiters.get(given.key);
    waiters.delete(given.key);
    waiter?.(outcome);
    if (outcome.ok && !attended.has(given.key)) onDone(given);
  }
}

/** Opens the account's outbox. Returns the function that closes it; what is in it waits for the next page. */
export function startOutbox({ account, unsaved: text, onDone }: Options): () => void {
  let closed = false;
  unsaved = text;
  unavailable = false;
  const opening = openAccountStorage(account).then(
    (database) => {
      if (closed) {
        database.close();
        return;
      }
      const tab = openOutbox({
        account,
        database,
        onChange: (all) => follow(givenOf(all), onDone),
        onUnauthenticated: reportUnauthenticated,
      });
      opened = { tab, database };
      // The tab that does not send learns nothing by itself.
      void tab.outbox.changed();
    },
    () => (unavailable = true),
  );
  const unload = (event: BeforeUnloadEvent) => {
    if (entries.some((given) => given.refusal === undefined)) event.preventDefault();
  };
  addEventListener('beforeunload', unload);
  return () => {
    closed = true;
    removeEventListener('beforeunload', unload);
    void opening.then(() => {
      opened?.tab.close();
      opened?.database.close();
      opened = undefined;
    });
    waiters.clear();
    attended.clear();
    entries = [];
  };
}

/** A command that a dialog shows. */
export interface Attended {
  key: string;
  /** What becomes of the command, once the server has answered. */
  outcome: Promise<Outcome>;
}

/**
 * Gives a command at the version that the person saw. Rejects if the browser cannot keep it. The dialog that gave it shows
 * what becomes of it, until `release`.
 */
export async function give(
  command: Command,
  order: Pick<Order, 'id' | 'version' | 'display_code'>,
  body: object,
): Promise<Attended> {
  keeping += 1;
  let key: string;
  try {
    if (opened === undefined) throw new Error('no storage');
    key = await opened.tab.outbox.put(requestOf(command, order, body));
    attended.add(key);
  } catch {
    throw new Error(unsaved());
  } finally {
    keeping -= 1;
  }
  const outcome = new Promise<Outcome>((resolve) => {
    const now = entries.find((given) => given.key === key);
    // Another tab may have sent it already.
    if (now === undefined) resolve({ ok: true });
    else if (now.refusal !== undefined) resolve({ ok: false, error: now.refusal });
    else waiters.set(key, resolve);
  });
  return { key, outcome };
}

/** Ends the attention of a dialog: a refusal was seen, and an unanswered command is shown by the page. */
export function release(key: string): void {
  if (!attended.delete(key)) return;
  waiters.delete(key);
  if (entries.some((given) => given.key === key && given.refusal !== undefined)) dismiss(key);
}

/** Removes a refused command. */
export function dismiss(key: string): void {
  void opened?.tab.outbox.dismiss(key);
}

/** Sends unanswered commands now instead of after their pause. */
export function sendNow(): void {
  opened?.tab.outbox.retryNow();
}
