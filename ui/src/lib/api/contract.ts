// Bodies and operations that the pages use and that docs/reference/openapi.json does not describe yet. As soon as the
// description contains an operation or a schema, the generated type replaces the one here: `Paths` and `Body` prefer it.
import type { components, paths } from '../../generated/api';

type Schemas = components['schemas'];
type Account = Schemas['Account'];
type Order = Schemas['Order'] & { display_code: string };

export interface Session {
  id: string;
  account: Account;
  /** Memberships, at most 100. */
  restaurants: { id: string; name: string }[];
  expires_at: string;
  server: { version: string; build: string; now: string };
}

export interface SessionInfo {
  id: string;
  created_at: string;
  last_used_at?: string;
  expires_at: string;
  revoked_at?: string;
  user_agent?: string;
  current: boolean;
}

export interface SessionInfoList {
  sessions: SessionInfo[];
  next_cursor?: string;
}

export type BoardOrder = Order & { acceptance_due?: boolean };

export interface BoardItem {
  item: string;
  name: string;
  available: boolean;
  until?: string;
  remaining?: number;
}

export interface Board {
  part: number;
  parts: number;
  now: string;
  build: string;
  restaurant: Schemas['Restaurant'];
  items?: BoardItem[];
  orders: BoardOrder[];
}

/** The messages of `GET /v1/restaurants/{id}/board/stream`, by the name of their event. */
export interface BoardMessages {
  snapshot: Omit<Board, 'restaurant'> & { restaurant?: Schemas['Restaurant'] };
  order: BoardOrder;
  gone: { id: string; version: number; status: string; closure?: Schemas['Closure'] };
  restaurant: Schemas['Restaurant'];
  item: BoardItem;
  heartbeat: { now: string; build: string; open: number; versions: number; ids: number };
  bye: Bye;
}

/** The last message of every stream. */
export interface Bye {
  reason: string;
  retry_after_ms: number;
}

export interface TrackedOrder {
  id: string;
  display_code: string;
  status: Order['status'];
  version: number;
  placed_at: string;
  updated_at: string;
  confirmed_at?: string;
  accepted_at?: string;
  ready_at?: string;
  picked_up_at?: string;
  delivered_at?: string;
  ended_at?: string;
  acceptance_deadline?: string;
  ready_by?: string;
  currency: string;
  amounts: Order['amounts'];
  lines: Order['lines'];
  fulfilment: Order['fulfilment'];
  payment: Pick<Order['payment'], 'method' | 'status' | 'captured' | 'refunded'>;
  closure?: { how: string; reason?: string; items?: Schemas['UnavailableItem'][] };
  allowed_actions: Order['allowed_actions'];
}

export interface Tracking {
  order: TrackedOrder;
  restaurant: { id: string; name: string; time_zone: string; location?: Schemas['Location']; country?: string };
  now: string;
}

export interface TrackingMessages {
  tracking: Tracking;
  heartbeat: { now: string };
  bye: Bye;
}

export interface TrackingLink {
  token: string;
  path: string;
  url?: string;
}

interface Pending {
  Session: Session;
  SessionInfo: SessionInfo;
  SessionInfoList: SessionInfoList;
  Board: Board;
  BoardOrder: BoardOrder;
  BoardItem: BoardItem;
  Tracking: Tracking;
  TrackedOrder: TrackedOrder;
  TrackingLink: TrackingLink;
  Order: Order;
}

/** Body of the API with this name: the described one, or the one of this file. */
export type Body<Name extends keyof Schemas | keyof Pending> = Name extends 'Order'
  ? Order
  : Name extends keyof Schemas
    ? Schemas[Name]
    : Name extends keyof Pending
      ? Pending[Name]
      : never;

type Operation<Success, Status extends number, Path = undefined, Query = undefined, Request = undefined> = {
  parameters: {
    query?: Query;
    header?: { 'Idempotency-Key'?: string };
    cookie?: never;
  } & ([Path] extends [undefined] ? { path?: never } : { path: Path });
  responses: Record<Status, { headers: Record<string, unknown>; content: { 'application/json': Success } }>;
} & ([Request] extends [undefined]
  ? { requestBody?: never }
  : { requestBody: { content: { 'application/json': Request } } });
interface NoContent<Path = undefined> {
  parameters: { query?: never; header?: never; cookie?: never } & ([Path] extends [undefined]
    ? { path?: never }
    : { path: Path });
  requestBody?: never;
  responses: { 204: { headers: Record<string, unknown>; content?: never } };
}

interface PendingPaths {
  '/v1/session': {
    get: Operation<Session, 200>;
    post: Operation<Session, 200, undefined, undefined, { email: string; password: string } | { link_token: string }>;
    delete: NoContent;
  };
  '/v1/accounts/{account_id}/sessions': {
    get: Operation<SessionInfoList, 200, { account_id: string }, { limit?: number; cursor?: string }>;
  };
  '/v1/accounts/{account_id}/sessions/{session_id}': {
    delete: NoContent<{ account_id: string; session_id: string }>;
  };
  '/v1/restaurants/{restaurant_id}/board': {
    get: Operation<Board, 200, { restaurant_id: string }, { device?: string }>;
  };
  '/v1/orders/{order_id}/tracking-link': {
    post: Operation<TrackingLink, 201, { order_id: string }>;
  };
  '/v1/tracking/{token}': {
    get: Operation<Tracking, 200, { token: string }>;
  };
  '/v1/tracking/{token}/cancel': {
    post: Operation<Tracking, 200, { token: string }, undefined, Schemas['Cancellation']>;
  };
}

/** Every operation that a page may call. */
export type Paths = paths & Omit<PendingPaths, keyof paths>;
