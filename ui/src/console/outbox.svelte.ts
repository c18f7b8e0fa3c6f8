/* eslint-disable svelte/prefer-svelte-reactivity -- no component shows the map */
// The commands that a person has sent and that are not done. They go through the outbox: an unanswered command survives a reload and a
// crash of the server with its idempotency key, and a refusal stays until a person has seen it.
import { SvelteSet } from 'svelte/reactivity';
import { reportUnauthenticated, type Order } from '../lib/api';
import { openOutbox, type TabOutbox } from '../lib/outbox-tabs';
import { uuid } from '../lib/random';
import { openAccountStorage } from '../lib/storage';
import { givenOf, requestOf, settled, type Given, type Outcome } from './given';
import type { Command } from './orders/commands';
import { signIn } from './sign-in.svelte';

let entries = $state.raw<readonly Given[]>([]);
let unavailable = $state(false);
/** Commands whose dialog is open and shows what becomes of them. */
const attended = new SvelteSet<string>();
const waiters = new Map<string, (outcome: Outcome | undefined) => void>();
/** Commands that the browser has kept and that this tab has not read since. */
const unread = new Set<string>();
let opened: { tab: TabOutbox; database: IDBDatabase } | undefined;

export const outbox = {
  /** Commands without an answer that no dialog shows. */
  get unanswered(): readonly Given[] {
    return entries.filter((given) => given.refusal === undefined && !attended.has(given.key));
  },
  /** Refused commands that no dialog shows. */
  get refused(): readonly Given[] {
    return entries.filter((given) => given.refusal !== undefined && !attended.has(given.key));
  },
  /** Whether the browser keeps nothing, so that no command can be sent. */
  get unavailable(): boolean {
    return unavailable;
  },
};

interface Options {
  account: string;
  /** Text of a failure to keep a command. */
  unsaved: () => string;
  /** Called for a command that the browser could not keep and whose dialog has closed. */
  onUnsaved: (command: Command, code: string) => void;
  /** Called for a command that is done and that no dialog shows. */
  onDone: (given: Given) => void;
}

let unsaved = () => '';
let reportUnsaved: Options['onUnsaved'] = () => undefined;

function follow(next: readonly Given[], onDone: Options['onDone']): void {
  const changes = settled(entries, next);
  entries = next;
  for (const { given, outcome } of changes) {
    answer(given.key, outcome);
    if (outcome.ok && !attended.has(given.key)) onDone(given);
  }
  // Another tab may have sent a command before this tab read it for the first time.
  for (const key of unread) {
    const given = next.find((one) => one.key === key);
    if (given === undefined) answer(key, { ok: true });
    else if (given.refusal !== undefined) answer(key, { ok: false, error: given.refusal });
  }
  unread.clear();
}

function answer(key: string, outcome: Outcome | undefined): void {
  const waiter = waiters.get(key);
  waiters.delete(key);
  waiter?.(outcome);
}

/** Opens the account's outbox. Returns the function that closes it; what is in it waits for the next page. */
export function startOutbox({ account, unsaved: text, onUnsaved, onDone }: Options): () => void {
  let closed = false;
  unsaved = text;
  reportUnsaved = onUnsaved;
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
      // A tab that does not send reads the outbox only when it is called.
      void tab.outbox.changed();
    },
    () => (unavailable = true),
  );
  const unload = (event: BeforeUnloadEvent) => {
    if (!signIn.leaving && entries.some((given) => given.refusal === undefined)) event.preventDefault();
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
    unread.clear();
    attended.clear();
    entries = [];
  };
}

/** The attention of a dialog to its commands. The page shows the commands to which no dialog attends. */
export class Attention {
  readonly #keys = new Set<string>();
  #ended = false;

  /**
   * Puts a command into the outbox, at the version that the person saw. Rejects if the browser cannot keep it. `outcome` resolves when the
   * server has answered; `undefined`: the attention ended before.
   */
  async give(
    command: Command,
    order: Pick<Order, 'id' | 'version' | 'display_code'>,
    body: object,
  ): Promise<{ outcome: Promise<Outcome | undefined> }> {
    // The dialog may close, and the server may answer, before IndexedDB has the command. The key is therefore registered first.
    const key = uuid();
    const outcome = this.#attend(key);
    const tab = opened?.tab;
    try {
      if (tab === undefined) throw new Error('no storage');
      await tab.outbox.put(requestOf(command, order, body), 0, key);
    } catch {
      if (this.#ended) reportUnsaved(command, order.display_code);
      forget(key);
      throw new Error(unsaved());
    }
    // What became of the command is only known from a read. If this one fails, the next one answers.
    unread.add(key);
    await tab.outbox.changed();
    return { outcome };
  }

  #attend(key: string): Promise<Outcome | undefined> {
    if (this.#ended) return Promise.resolve(undefined);
    this.#keys.add(key);
    attended.add(key);
    return new Promise((resolve) => waiters.set(key, resolve));
  }

  /** Ends the attention: the dialog has shown its refusals, and the page shows what is unanswered. */
  end(): void {
    this.#ended = true;
    for (const key of this.#keys) {
      forget(key);
      if (entries.some((given) => given.key === key && given.refusal !== undefined)) dismiss(key);
    }
    this.#keys.clear();
  }
}

function forget(key: string): void {
  attended.delete(key);
  unread.delete(key);
  answer(key, undefined);
}

/** Removes a refused command. */
export function dismiss(key: string): void {
  void opened?.tab.outbox.dismiss(key);
}

/** Sends unanswered commands now instead of after their pause. */
export function sendNow(): void {
  opened?.tab.outbox.retryNow();
}
