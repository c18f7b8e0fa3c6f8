/* eslint-disable svelte/prefer-svelte-reactivity -- no component shows these sets and maps */
// The feed of all orders. It only reports which orders changed: the views read them again, so that no rule of the server
// exists here a second time.
import { clock } from '../lib/clock';
import type { StreamState } from '../lib/sse';
import { openSharedStream } from '../lib/tabs';

/** Interval in which changes are passed on, in milliseconds. */
const INTERVAL = 1_000;

export interface Change {
  order: string;
  restaurant: string;
}

type Listener = {
  /** Some orders changed. */
  changed: (changes: readonly Change[]) => void;
  /** Events may be missing: read everything again. */
  reset: () => void;
};

const listeners = new Set<Listener>();
let state = $state.raw<StreamState>({ status: 'connecting' });
let changes = new Map<string, Change>();
let timer: ReturnType<typeof setTimeout> | undefined;
let connected = false;

export const live = {
  get state(): StreamState {
    return state;
  },
};

function pass(): void {
  timer = undefined;
  const batch = [...changes.values()];
  changes = new Map();
  for (const listener of listeners) listener.changed(batch);
}

function receive(event: string, data: string): void {
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
  // A CloudEvent names the order in `partitionkey` and the restaurant in `subject`.
  if (!('partitionkey' in body) || typeof body.partitionkey !== 'string') return;
  const restaurant = 'subject' in body && typeof body.subject === 'string' ? body.subject : '';
  changes.set(body.partitionkey, { order: body.partitionkey, restaurant });
  timer ??= setTimeout(pass, INTERVAL);
}

/** Calls a listener about changes. Returns the function that ends this. */
export function onChanges(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Opens the feed for an account. Returns the function that closes it. */
export function startLive(account: string): () => void {
  const stream = openSharedStream({
    name: `console-${account}`,
    url: '/v1/events/stream',
    onMessage: (message) => receive(message.event, message.data),
    onState: (next) => (state = next),
    onConnect() {
      // The views read for themselves when they open, so only a later connection may have missed something.
      if (connected) for (const listener of listeners) listener.reset();
      connected = true;
    },
    replay: () => [],
  });
  return () => {
    stream.close();
    clearTimeout(timer);
    timer = undefined;
  };
}
