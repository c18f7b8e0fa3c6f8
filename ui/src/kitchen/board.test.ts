import { beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { restaurant } from '../../tests/mock/orders';
import type { StreamEvent } from '../lib/sse-parser';
import type { SharedStreamOptions } from '../lib/tabs';
import { settle } from '../lib/testing/timers';
import type { Board as BoardType } from './board.svelte';

const NOW = Date.parse('2026-06-01T12:00:00Z');
let stream: SharedStreamOptions;
let draw: (() => void) | undefined;

vi.mock('../lib/tabs', () => ({
  openSharedStream(options: SharedStreamOptions) {
    stream = options;
    return { reconnect: () => undefined, close: () => undefined, leader: true };
  },
}));
vi.mock('../lib/outbox-tabs', () => ({
  openOutbox: () => ({ outbox: { retryNow: () => undefined }, close: () => undefined }),
}));
vi.mock('./cache', () => ({
  BoardCache: class {
    read = () => Promise.resolve(undefined);
    readNotices = () => Promise.resolve([]);
    write = () => undefined;
  },
}));

let Board: typeof BoardType;

async function open(): Promise<BoardType> {
  const nothing = () => undefined;
  const board = new Board({ restaurant: 'r', account: 'a', database: {} as IDBDatabase, onMessage: nothing, onPrint: nothing });
  await board.start();
  await settle();
  return board;
}

function send(event: string, data: unknown): void {
  stream.onMessage({ event, data: JSON.stringify(data), id: undefined } satisfies StreamEvent);
  draw?.();
}

beforeAll(async () => {
  // The modules of the board need the browser when they load, which takes time that no test has.
  vi.stubGlobal('addEventListener', () => undefined);
  ({ Board } = await import('./board.svelte'));
}, 30_000);
beforeEach(() => {
  vi.stubGlobal('navigator', {});
  vi.stubGlobal('document', { visibilityState: 'visible' });
  vi.stubGlobal('requestAnimationFrame', (action: () => void) => (draw = action));
  vi.spyOn(performance, 'now').mockReturnValue(0);
});

it('a board is as old as the last message that it understood', async () => {
  const board = await open();
  send('snapshot', { part: 1, parts: 1, now: new Date(NOW).toISOString(), build: 'b', orders: [], items: [], restaurant: restaurant(NOW) });
  expect(board.updated).toBe(NOW);
  vi.spyOn(performance, 'now').mockReturnValue(60_000);
  send('unknown', {});
  send('order', 'no order');
  board.find('');
  expect(board.updated).toBe(NOW);
  send('restaurant', restaurant(NOW));
  expect(board.updated).toBe(NOW + 60_000);
  board.close();
});
