// The browser's storage of one account: the outbox and cached data, in one IndexedDB database per account, so that a
// sign-out deletes everything of the account at once, also offline.

const PREFIX = 'dabba-account-';
const VERSION = 1;
/** Maximum wait for the deletion of a database, in milliseconds. A tab that stands still keeps its connection open. */
export const DELETION_TIMEOUT = 3_000;

/** Wraps a request of IndexedDB into a promise. */
export function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('The browser\'s storage failed.'));
  });
}

/** Resolves when a transaction is durable. */
export function committed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error('The browser\'s storage failed.'));
  });
}

/** Opens the database of an account. */
export async function openAccountStorage(account: string): Promise<IDBDatabase> {
  const request = indexedDB.open(PREFIX + account, VERSION);
  request.onupgradeneeded = () => {
    const outbox = request.result.createObjectStore('outbox', { keyPath: 'sequence', autoIncrement: true });
    outbox.createIndex('key', 'key', { unique: true });
    request.result.createObjectStore('cache');
  };
  const database = await done(request);
  // Another tab signs out: it can delete the database only if this connection ends.
  database.onversionchange = () => database.close();
  return database;
}

/**
 * Deletes everything of an account. While another tab keeps its connection, this does not wait for longer than the timeout;
 * the browser deletes the database when that tab closes it.
 */
export async function deleteAccountStorage(account: string): Promise<void> {
  const deleted = done(indexedDB.deleteDatabase(PREFIX + account));
  await Promise.race([deleted, new Promise((resolve) => setTimeout(resolve, DELETION_TIMEOUT))]);
}

/** Keeps one value of an account under `key`, such as the last snapshot of a board. */
export async function putCached(database: IDBDatabase, key: string, value: unknown): Promise<void> {
  const transaction = database.transaction('cache', 'readwrite');
  transaction.objectStore('cache').put(value, key);
  await committed(transaction);
}

/** Returns the value of an account that `putCached` kept. */
export async function getCached(database: IDBDatabase, key: string): Promise<unknown> {
  return done(database.transaction('cache').objectStore('cache').get(key) as IDBRequest<unknown>);
}
