// The feed of all orders. It only reports which orders changed: the views read them again, so that no rule of the server
// exists here a second time.
import { clock } from '../lib/clock';
import type { StreamState } from '../lib/sse';
import type { StreamEvent } from '../lib/sse-parser';
import { openSharedStream } from '../lib/tabs';
import { changeOf, Changes, type Listener } from './changes';

let state = $state.raw<StreamState>({ status: 'connecting' });
const collected = new Changes({ isVisible: () => document.visibilityState === 'visible' });

export const live = {
  get state(): StreamState {
    return state;
  },
};

function receive({ event, data }: StreamEvent): void {
  let body: unknown;
  try {
    body = JSON.parse(data);
  } catch {
    return;
  }
  if (typeof body !== 'object' || body === null) return;
  if (event === 'heartbeat') {
    if ('now' in body && typeof body.now === 'string') clock.observe(body.now);
    return;
  }
  const change = changeOf(event, body);
  if (change !== undefined) collected.add(change);
}

/** Lets a view read, and calls it about changes. Returns the function that ends this. */
export function onChanges(listener: Listener): () => void {
  return collected.follow(listener);
}

/** Opens the feed for an account. Returns the function that closes it. */
export function startLive(account: string): () => void {
  state = { status: 'connecting' };
  const stream = openSharedStream({
    name: `console-${account}`,
    url: '/v1/events/stream',
    onMessage: receive,
    onState: (next) => (state = next),
    onConnect: () => collected.connected(),
    replay: () => [],
  });
  const shown = () => collected.shown();
  document.addEventListener('visibilitychange', shown);
  return () => {
    document.removeEventListener('visibilitychange', shown);
    stream.close();
    collected.close();
  };
}
