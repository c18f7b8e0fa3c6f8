import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Entry } from '../lib/outbox';
import type { TabOutboxOptions } from '../lib/outbox-tabs';
import { settle } from '../lib/testing/timers';
import type { Outcome } from './given';
import { Attention, startOutbox } from './outbox.svelte';

/** Stands for the storage: what it contains, and whether it can be read. */
const storage = { entries: [] as Entry[], readable: true, sentByOthers: false };
let read: () => void;

vi.mock('../lib/storage', () => ({ openAccountStorage: () => Promise.resolve({ close: () => undefined }) }));
vi.mock('../lib/outbox-tabs', () => ({
  openOutbox({ onChange }: TabOutboxOptions) {
    read = () => {
      if (storage.readable) onChange([...storage.entries]);
    };
    const outbox = {
      put(command: object, _delay: number, key: string) {
        if (!storage.sentByOthers) storage.entries.push({ ...command, key, state: 'waiting', attempts: 0 } as Entry);
        read();
        return Promise.resolve(key);
      },
      changed() {
        read();
        return Promise.resolve();
      },
      dismiss: () => Promise.resolve(true),
    };
    return { outbox, close: () => undefined };
  },
}));

const ORDER = { id: 'order-1', version: 3, display_code: 'AB12' };
let end: () => void;
let outcome: Outcome | undefined;

/** Cancels the order as a dialog does. */
async function cancel(): Promise<void> {
  const given = await new Attention().give('cancel', ORDER, {});
  void given.outcome.then((result) => (outcome = result));
  await settle();
}

beforeEach(async () => {
  vi.stubGlobal('addEventListener', () => undefined);
  vi.stubGlobal('removeEventListener', () => undefined);
  Object.assign(storage, { entries: [], readable: true, sentByOthers: false });
  outcome = undefined;
  end = startOutbox({ account: 'a', unsaved: () => 'unsaved', onUnsaved: () => undefined, onDone: () => undefined });
  await settle();
});
afterEach(() => end());

describe('a command', () => {
  it('is done when it has left the outbox', async () => {
    await cancel();
    expect(outcome).toBeUndefined();
    storage.entries = [];
    read();
    await settle();
    expect(outcome).toEqual({ ok: true });
  });

  it('is done when another tab has sent it before this tab reads it', async () => {
    storage.sentByOthers = true;
    await cancel();
    expect(outcome).toEqual({ ok: true });
  });

  it('is not reported as done while the outbox cannot be read', async () => {
    storage.readable = false;
    await cancel();
    expect(outcome).toBeUndefined();
    storage.readable = true;
    read();
    await settle();
    expect(outcome).toBeUndefined();
    storage.entries = [];
    read();
    await settle();
    expect(outcome).toEqual({ ok: true });
  });

  it('that another tab has sent is answered by the first read that succeeds', async () => {
    Object.assign(storage, { readable: false, sentByOthers: true });
    await cancel();
    expect(outcome).toBeUndefined();
    storage.readable = true;
    read();
    await settle();
    expect(outcome).toEqual({ ok: true });
  });

  it('that was refused before this tab reads it is reported as refused', async () => {
    storage.readable = false;
    await cancel();
    Object.assign(storage.entries[0] as Entry, { state: 'refused', problem: { status: 409, code: 'too_late', title: '' } });
    storage.readable = true;
    read();
    await settle();
    expect(outcome).toMatchObject({ ok: false, error: { code: 'too_late' } });
  });
});
