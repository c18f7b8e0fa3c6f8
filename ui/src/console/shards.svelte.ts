// The shards and their state. A dead shard must be visible in every view, so they are read as long as the console is open.
import { api, unwrap, type Body } from '../lib/api';
import { poll } from './polling';

export type Shard = Body<'Shard'>;

/** Interval in which the shards are read, in milliseconds. */
const INTERVAL = 10_000;

let list = $state.raw<Body<'ShardList'>>();
let failure = $state.raw<unknown>();
let loading = $state(false);
let generation = 0;

/** Whether a shard answers and its database is the expected one. A state that this build does not know counts as a failure. */
export function isReachable(shard: Pick<Shard, 'state'>): boolean {
  return shard.state === 'ok';
}

export const shards = {
  /** The shards, those that cannot be used first. */
  get list(): readonly Shard[] {
    return [...(list?.shards ?? [])].sort((one, other) => Number(isReachable(one)) - Number(isReachable(other)));
  },
  /** Time of the last check; absent before the first. */
  get checkedAt(): string | undefined {
    return list?.checked_at;
  },
  get unreachable(): readonly Shard[] {
    return (list?.shards ?? []).filter((shard) => !isReachable(shard));
  },
  get failure(): unknown {
    return failure;
  },
  get loading(): boolean {
    return loading;
  },
};

export async function loadShards(): Promise<void> {
  const mine = ++generation;
  loading = true;
  try {
    const read = await unwrap(api.GET('/v1/shards'));
    if (mine !== generation) return;
    list = read;
    failure = undefined;
  } catch (error) {
    if (mine === generation) failure = error;
  } finally {
    if (mine === generation) loading = false;
  }
}

/** Reads the shards now and from time to time. Returns the function that ends this. */
export function startShards(): () => void {
  return poll(loadShards, INTERVAL);
}
