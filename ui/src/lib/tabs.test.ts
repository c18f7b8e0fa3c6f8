import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { EventStream, StreamOptions } from './sse';
import type { StreamEvent } from './sse-parser';
import { openSharedStream } from './tabs';
import { settle } from './testing/timers';

/** The leader's stream, whose messages the test sends. */
let server: StreamOptions;

vi.mock('./sse', async (original) => ({
  ...(await original<typeof import('./sse')>()),
  openEventStream(options: StreamOptions) {
    server = options;
    const stream = { state: { status: 'live' }, close: () => undefined, reconnect: () => undefined };
    return stream as unknown as EventStream;
  },
}));
vi.mock('./session.svelte', () => ({ forgetSession: () => undefined }));

/** The channels of the tabs. */
const channels = new Set<Channel>();
class Channel {
  onmessage: ((event: { data: unknown }) => void) | undefined;
  constructor() {
    channels.add(this);
  }
  postMessage(data: unknown): void {
    for (const other of channels) if (other !== this) other.onmessage?.({ data });
  }
  close(): void {
    channels.delete(this);
  }
}

const closes: (() => void)[] = [];

/** Opens a tab that is synchronized once it has the message `last`. */
function openTab() {
  const tab = { messages: [] as string[], states: [] as string[] };
  const stream = openSharedStream({
    name: 'board',
    url: '/stream',
    onMessage: ({ data }) => tab.messages.push(data),
    onState: ({ status }) => tab.states.push(status),
    onConnect: () => (tab.messages = []),
    replay: () => (tab.messages.includes('last') ? [message(`all of ${tab.messages.join()}`)] : undefined),
  });
  closes.push(() => stream.close());
  return tab;
}

const message = (data: string): StreamEvent => ({ event: 'snapshot', data, id: undefined });

beforeEach(() => {
  let held = false;
  const request = (_name: string, _options: LockOptions, granted: () => unknown) => {
    if (held) return new Promise(() => undefined);
    held = true;
    return Promise.resolve(granted());
  };
  vi.stubGlobal('navigator', { locks: { request } });
  vi.stubGlobal('BroadcastChannel', Channel);
});
afterEach(() => {
  for (const close of closes.splice(0)) close();
  vi.unstubAllGlobals();
});

it('a tab that joins between the parts of a snapshot gets the whole state after the last part', async () => {
  const leader = openTab();
  await settle();
  server.onConnect?.();
  server.onMessage(message('first'));
  const joining = openTab();
  server.onMessage(message('second'));
  expect(joining.messages).toEqual([]);
  expect(joining.states).toEqual([]);
  server.onMessage(message('last'));
  expect(leader.messages).toEqual(['first', 'second', 'last']);
  expect(joining.messages).toEqual(['all of first,second,last']);
  expect(joining.states).toEqual(['live']);
  server.onMessage(message('change'));
  expect(joining.messages).toEqual(['all of first,second,last', 'change']);
});
