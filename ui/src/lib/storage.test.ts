import 'fake-indexeddb/auto';
import { afterEach, expect, it, vi } from 'vitest';
import { deleteAccountStorage, DELETION_TIMEOUT, openAccountStorage } from './storage';
import { settle } from './testing/timers';

afterEach(() => void vi.useRealTimers());

it('waits for a limited time for a tab that does not close its connection, and is deleted once that tab does', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const database = await openAccountStorage('a');
  // A tab that stands still hears of nothing.
  database.onversionchange = null;
  const ended = vi.fn();
  void deleteAccountStorage('a').then(ended);
  await settle();
  await vi.advanceTimersByTimeAsync(DELETION_TIMEOUT - 1);
  expect(ended).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(ended).toHaveBeenCalledOnce();
  database.close();
  await vi.waitFor(async () => expect(await indexedDB.databases()).toEqual([]));
});
