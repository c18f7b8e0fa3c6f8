// The state of a board: what the stream's messages make of it. No I/O and no clock.
//
// A connection begins with a snapshot in parts. Until its last part, the board keeps showing what it knew; then the
// snapshot replaces everything at once. Changes that arrive between the parts change the snapshot, not the old state.
// Versions decide which of two bodies of an order is the newer one.
import type { StreamEvent } from '../lib/sse-parser';
import type { BoardItem, BoardOrder, Gone, Heartbeat, Order, Restaurant, Snapshot } from './types';

/** Maximum number of orders that left the board and that the state still knows. */
export const MAXIMUM_LEFT = 1_000;

export type BoardMessage =
  | { event: 'snapshot'; data: Snapshot }
  | { event: 'order'; data: BoardOrder }
  | { event: 'gone'; data: Gone }
  | { event: 'restaurant'; data: Restaurant }
  | { event: 'item'; data: BoardItem }
  | { event: 'heartbeat'; data: Heartbeat };

interface Contents {
  restaurant: Restaurant | undefined;
  items: ReadonlyMap<string, BoardItem>;
  orders: ReadonlyMap<string, BoardOrder>;
  /** Whether the restaurant has more open orders than a board shows; the orders are the newest. */
  truncated: boolean;
  /** How orders left the board, so that an older message does not bring them back. */
  left: ReadonlyMap<string, Gone>;
}

interface Incoming extends Contents {
  parts: number;
  received: number;
}

export interface BoardState extends Contents {
  /** The snapshot whose parts are arriving. */
  incoming: Incoming | undefined;
  /** Whether the contents are those of the current connection, so that a heartbeat can check them. */
  synchronized: boolean;
  /** Answers to own commands that the stream has not confirmed yet. */
  answers: ReadonlyMap<string, Order>;
}

export type Effect =
  /** Orders that the board did not have. */
  | { kind: 'arrived'; orders: BoardOrder[] }
  /** The acceptance of an order became urgent. */
  | { kind: 'due'; order: BoardOrder }
  | { kind: 'left'; order: BoardOrder; gone: Gone }
  /** Orders that the new snapshot no longer contains: nothing says how they left. */
  | { kind: 'vanished'; orders: BoardOrder[] }
  /** The state differs from the server's: connect again. */
  | { kind: 'resynchronize' };

export interface Step {
  state: BoardState;
  effects: Effect[];
}

const EMPTY: Contents = {
  restaurant: undefined,
  items: new Map(),
  orders: new Map(),
  truncated: false,
  left: new Map(),
};

export function emptyState(): BoardState {
  return { ...EMPTY, incoming: undefined, synchronized: false, answers: new Map() };
}

const EVENTS = new Set<string>(['snapshot', 'order', 'gone', 'restaurant', 'item', 'heartbeat']);

/** Returns the message of an event; `undefined` for events that this version of the page does not know. */
export function parseMessage(event: StreamEvent): BoardMessage | undefined {
  if (!EVENTS.has(event.event)) return undefined;
  try {
    const data: unknown = JSON.parse(event.data);
    if (typeof data !== 'object' || data === null) return undefined;
    return { event: event.event, data } as BoardMessage;
  } catch {
    return undefined;
  }
}

/** A connection begins: the next message is the first part of a snapshot. */
export function connected(state: BoardState): BoardState {
  return { ...state, incoming: undefined, synchronized: false };
}

export function reduce(state: BoardState, message: BoardMessage): Step {
  switch (message.event) {
    case 'snapshot':
      return addPart(state, message.data);
    case 'heartbeat':
      return { state, effects: matches(state, message.data) ? [] : [{ kind: 'resynchronize' }] };
    case 'order':
      return change(state, (contents) => putOrder(contents, message.data));
    case 'gone':
      return change(state, (contents) => removeOrder(contents, message.data));
    case 'restaurant':
      return change(state, (contents) => [{ ...contents, restaurant: message.data }, []]);
    case 'item':
      return change(state, (contents) => [
        { ...contents, items: new Map(contents.items).set(message.data.item, message.data) },
        [],
      ]);
  }
}

/** Applies a change to the arriving snapshot, or to the contents. */
function change(state: BoardState, apply: (contents: Contents) => [Contents, Effect[]]): Step {
  if (state.incoming !== undefined) {
    const [contents] = apply(state.incoming);
    return { state: { ...state, incoming: { ...state.incoming, ...contents } }, effects: [] };
  }
  const [contents, effects] = apply(state);
  return { state: forgetAnswers({ ...state, ...contents }), effects };
}

function putOrder(contents: Contents, order: BoardOrder): [Contents, Effect[]] {
  const known = contents.orders.get(order.id);
  const left = contents.left.get(order.id);
  const outdated = (known?.version ?? 0) > order.version || (left?.version ?? -1) >= order.version;
  if (outdated) return [contents, []];
  const effects: Effect[] = [];
  if (known === undefined) effects.push({ kind: 'arrived', orders: [order] });
  else if (order.acceptance_due === true && known.acceptance_due !== true) effects.push({ kind: 'due', order });
  return [{ ...contents, orders: new Map(contents.orders).set(order.id, order) }, effects];
}

function removeOrder(contents: Contents, gone: Gone): [Contents, Effect[]] {
  const known = contents.orders.get(gone.id);
  if (known !== undefined && known.version > gone.version) return [contents, []];
  const left = new Map(contents.left).set(gone.id, gone);
  for (const id of left.keys()) {
    if (left.size <= MAXIMUM_LEFT) break;
    left.delete(id);
  }
  if (known === undefined) return [{ ...contents, left }, []];
  const orders = new Map(contents.orders);
  orders.delete(gone.id);
  return [{ ...contents, orders, left }, [{ kind: 'left', order: known, gone }]];
}

function addPart(state: BoardState, part: Snapshot): Step {
  const begun = part.part === 1 ? { ...EMPTY, parts: part.parts, received: 0 } : state.incoming;
  if (begun === undefined || begun.received !== part.part - 1 || begun.parts !== part.parts) {
    // A part is missing, so what would be complete is not the server's state.
    return { state: connected(state), effects: [{ kind: 'resynchronize' }] };
  }
  const orders = new Map(begun.orders);
  for (const order of part.orders) {
    // A change that arrived between the parts is newer than the part.
    if ((orders.get(order.id)?.version ?? 0) > order.version) continue;
    if ((begun.left.get(order.id)?.version ?? -1) >= order.version) continue;
    orders.set(order.id, order);
  }
  const items = part.items === undefined ? begun.items : new Map(part.items.map((item) => [item.item, item]));
  const incoming: Incoming = {
    ...begun,
    restaurant: begun.restaurant ?? part.restaurant,
    items,
    orders,
    truncated: begun.truncated || part.truncated === true,
    received: part.part,
  };
  if (incoming.received < incoming.parts) return { state: { ...state, incoming }, effects: [] };
  return replace(state, incoming);
}

function replace(state: BoardState, incoming: Incoming): Step {
  const { restaurant, items, orders, truncated, left } = incoming;
  const arrived = [...orders.values()].filter((order) => !state.orders.has(order.id));
  const vanished = [...state.orders.values()].filter((order) => !orders.has(order.id));
  const effects: Effect[] = [];
  if (arrived.length > 0) effects.push({ kind: 'arrived', orders: arrived });
  if (vanished.length > 0) effects.push({ kind: 'vanished', orders: vanished });
  const contents = { restaurant: restaurant ?? state.restaurant, items, orders, truncated, left };
  return { state: forgetAnswers({ ...state, ...contents, incoming: undefined, synchronized: true }), effects };
}

/** Whether the contents are those that the server has sent. */
function matches(state: BoardState, heartbeat: Heartbeat): boolean {
  if (!state.synchronized || state.incoming !== undefined) return true;
  const own = checksum(state.orders.values());
  return own.open === heartbeat.open && own.versions === heartbeat.versions && own.ids === heartbeat.ids;
}

/** Number of orders, sum of their versions, and XOR of the last 32 bits of their ids. */
export function checksum(orders: Iterable<BoardOrder>): { open: number; versions: number; ids: number } {
  let open = 0;
  let versions = 0;
  let ids = 0;
  for (const order of orders) {
    open += 1;
    versions += order.version;
    ids ^= Number.parseInt(order.id.slice(-8), 16);
  }
  return { open, versions, ids: ids >>> 0 };
}

/** Records the answer to an own command. The board shows it until the stream has sent a version that is as new. */
export function answered(state: BoardState, order: Order): BoardState {
  if (!state.orders.has(order.id)) return state;
  return forgetAnswers({ ...state, answers: new Map(state.answers).set(order.id, order) });
}

function forgetAnswers(state: BoardState): BoardState {
  const open = [...state.answers].filter(([id, answer]) => (state.orders.get(id)?.version ?? Infinity) < answer.version);
  return open.length === state.answers.size ? state : { ...state, answers: new Map(open) };
}

/** Returns the orders as they are shown: with the answers to own commands. */
export function currentOrders(state: BoardState): BoardOrder[] {
  const orders = [...state.orders.values()];
  return state.answers.size === 0 ? orders : orders.map((order) => state.answers.get(order.id) ?? order);
}

/** Returns what is known of an order: its body, or how it left. */
export function statusOf(state: BoardState, id: string): Pick<BoardOrder, 'version' | 'status' | 'closure'> | undefined {
  return state.left.get(id) ?? state.answers.get(id) ?? state.orders.get(id);
}

/** Returns one snapshot of the whole state: for another tab, and for a reload without a network. */
export function toSnapshot(state: BoardState, now: string, build: string): Snapshot | undefined {
  const { restaurant, items, orders, truncated } = state;
  if (restaurant === undefined) return undefined;
  const rest = { restaurant, items: [...items.values()], orders: [...orders.values()] };
  return { part: 1, parts: 1, now, build, ...(truncated ? { truncated } : {}), ...rest };
}

export function isOrder(body: unknown): body is Order {
  return typeof body === 'object' && body !== null && 'version' in body && 'status' in body && 'lines' in body;
}
