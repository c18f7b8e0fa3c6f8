/* eslint-disable svelte/prefer-svelte-reactivity -- nothing shows the held tasks */
// The parked tasks, which wait for an admin. They make orders "stuck", so several views need them.
import { api, unwrap, type Body } from '../lib/api';
import { poll } from './polling';
import { readAll } from './read-all';

export type ParkedTask = Body<'ParkedTask'>;

/** Maximum number of tasks that are read; an installation with more has another problem. */
export const MAXIMUM_TASKS = 500;
/** Interval in which the tasks are read again, in milliseconds. The feed does not report tasks. */
const INTERVAL = 30_000;
const PAGE = 100;

interface State {
  tasks: ParkedTask[];
  loaded: boolean;
  more: boolean;
  incomplete: boolean;
  failure: unknown;
}

let state = $state.raw<State>({ tasks: [], loaded: false, more: false, incomplete: false, failure: undefined });
const byOrder = $derived(
  state.tasks.reduce((map, task) => {
    if (task.order_id !== undefined && !map.has(task.order_id)) map.set(task.order_id, task.parked_at);
    return map;
  }, new Map<string, string>()),
);
let generation = 0;
let read: () => void;
/** Settles when the tasks were read for the first time, or could not be read. */
export const parkedRead = new Promise<void>((resolve) => (read = resolve));

export const parked = {
  get tasks(): readonly ParkedTask[] {
    return state.tasks;
  },
  get loaded(): boolean {
    return state.loaded;
  },
  /** Whether there are more tasks than were read. */
  get more(): boolean {
    return state.more;
  },
  get incomplete(): boolean {
    return state.incomplete;
  },
  get failure(): unknown {
    return state.failure;
  },
};

/** Time since which an order has a parked task. */
export function parkedSince(order: string): string | undefined {
  return byOrder.get(order);
}

/** Tasks with an open dialog. They stay in the list, because the dialog would disappear with its task. */
const held = new Set<string>();

/** Keeps a task in the list while its dialog is open. Returns the function that ends this. */
export function holdTask(id: string): () => void {
  held.add(id);
  return () => {
    held.delete(id);
    void loadParked();
  };
}

/** Returns the tasks that were read, and the held tasks that are missing there, in the places that they had. */
export function withHeld<T extends { id: string }>(before: readonly T[], read: readonly T[], isHeld: (id: string) => boolean): T[] {
  const next = [...read];
  let place = 0;
  for (const task of before) {
    const index = next.findIndex(({ id }) => id === task.id);
    if (index !== -1) place = index + 1;
    else if (isHeld(task.id)) next.splice(place++, 0, task);
  }
  return next;
}

export async function loadParked(): Promise<void> {
  const mine = ++generation;
  try {
    const { items: tasks, more, incomplete } = await readAll(async (page) => {
      const query = { limit: PAGE, ...page };
      const { tasks: items, ...rest } = await unwrap(api.GET('/v1/tasks', { params: { query } }));
      return { items, ...rest };
    }, MAXIMUM_TASKS);
    if (mine !== generation) return;
    state = { tasks: withHeld(state.tasks, tasks, (id) => held.has(id)), loaded: true, more, incomplete, failure: undefined };
  } catch (failure) {
    if (mine === generation) state = { ...state, loaded: true, failure };
  } finally {
    read();
  }
}

/** Reads the tasks now and from time to time. Returns the function that ends this. */
export function startParked(): () => void {
  return poll(loadParked, INTERVAL);
}
