// Bodies and operations that the pages use and that docs/reference/openapi.json does not describe yet. As soon as the
// description contains an operation or a schema, the generated type replaces the one here: `Paths` and `Body` prefer it.
// Messages of streams, which the description does not contain, stay here.
import type { components, paths } from '../../generated/api';

type Schemas = components['schemas'];
type Account = Schemas['Account'];

interface PendingSession {
  id: string;
  account: Account;
  /** Memberships, at most 100. */
  restaurants: { id: string; name: string }[];
  expires_at: string;
  server: { version: string; build: string; now: string };
}

interface PendingSessionInfo {
  id: string;
  created_at: string;
  last_used_at?: string;
  expires_at: string;
  revoked_at?: string;
  user_agent?: string;
  current: boolean;
}

interface PendingSessionList {
  sessions: SessionInfo[];
  next_cursor?: string;
}

type PendingBoardOrder = Order & { acceptance_due?: boolean };

interface PendingBoardItem {
  item: string;
  name: string;
  available: boolean;
  until?: string;
  remaining?: number;
}

interface PendingBoard {
  part: number;
  parts: number;
  now: string;
  build: string;
  /** Present and `true` if the restaurant has more open orders than a board shows; these are the newest. */
  truncated?: boolean;
  restaurant: Schemas['Restaurant'];
  /** The items that are unavailable or whose stock is limited. All others are available without a limit. */
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

interface PendingTrackedOrder {
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
  amounts: Schemas['Amounts'];
  lines: Order['lines'];
  fulfilment: Order['fulfilment'];
  payment: { method: string; status: string; captured: number; refunded: number };
  closure?: { how: string; reason?: string; waited_for?: string; items?: Schemas['UnavailableItem'][] };
  allowed_actions: Order['allowed_actions'];
}

interface PendingTracking {
  order: TrackedOrder;
  restaurant: { id: string; name: string; time_zone: string; location?: { lat: number; lng: number }; country?: string };
  now: string;
}

export interface TrackingMessages {
  tracking: Tracking;
  heartbeat: { now: string };
  bye: Bye;
}

interface PendingTrackingLink {
  token: string;
  path: string;
  url?: string;
}

interface Pending {
  Session: PendingSession;
  SessionInfo: PendingSessionInfo;
  SessionList: PendingSessionList;
  Board: PendingBoard;
  BoardOrder: PendingBoardOrder;
  BoardItem: PendingBoardItem;
  Tracking: PendingTracking;
  TrackedOrder: PendingTrackedOrder;
  TrackingLink: PendingTrackingLink;
}

/** Body of the API with this name: the described one, or the one of this file. */
export type Body<Name extends keyof Schemas | keyof Pending> = Name extends keyof Schemas
  ? Schemas[Name]
  : Name extends keyof Pending
    ? Pending[Name]
    : never;

export type Session = Body<'Session'>;
export type SessionInfo = Body<'SessionInfo'>;
export type SessionList = Body<'SessionList'>;
export type Board = Body<'Board'>;
export type BoardOrder = Body<'BoardOrder'>;
export type BoardItem = Body<'BoardItem'>;
export type Tracking = Body<'Tracking'>;
export type TrackedOrder = Body<'TrackedOrder'>;
export type TrackingLink = Body<'TrackingLink'>;
export type Restaurant = Body<'Restaurant'>;
export type Order = Body<'Order'>;

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
    get: Operation<SessionList, 200, { account_id: string }, { limit?: number; cursor?: string }>;
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
