//! Bodies of boards: the present state, and the messages of its stream.

use std::ops::Not;

use dabba_domain::{
    AccountId, OrderId, Timestamp,
    order::{AllowedAction, Order, OrderStatus},
    restaurant::RestaurantSettings,
    text::{Name, Slug},
};
use dabba_engine::RestaurantBoards;
use dabba_outbound::{
    live::board::{BoardItem, BoardSums},
    public::{Audience, PublicClosure, PublicOrder},
};
use dabba_store::Board;
use serde::Serialize;
use utoipa::ToSchema;

use super::{orders::OrderDocument, restaurants::RestaurantBody};

/// The board of a restaurant, or a part of it: the orders on which the restaurant works.
#[derive(Serialize, ToSchema)]
#[schema(as = Board)]
pub(crate) struct BoardBody<'a> {
    /// Number of the part, from 1. Only a stream has several parts.
    #[schema(minimum = 1)]
    pub(crate) part: usize,
    /// Number of parts.
    #[schema(minimum = 1)]
    pub(crate) parts: usize,
    /// Time of the server.
    pub(crate) now: Timestamp,
    /// Name of the server's build. It changes when the server is upgraded.
    pub(crate) build: &'a str,
    /// The restaurant. Only in part 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) restaurant: Option<RestaurantBody<'a>>,
    /// The items of the menu that are unavailable or whose stock is limited. All others are available without a limit.
    /// Only in part 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) items: Option<Vec<BoardItemBody<'a>>>,
    /// The orders with the statuses `confirmed`, `preparing`, `ready_for_pickup` and `out_for_delivery`, oldest first.
    #[schema(max_items = 1000)]
    pub(crate) orders: Vec<BoardOrderBody>,
    /// Present and `true` if the restaurant has more than 1,000 such orders, or more than 8 MiB of them. The board shows the
    /// newest ones.
    #[serde(skip_serializing_if = "Not::not")]
    #[schema(required = false)]
    pub(crate) truncated: bool,
}

/// An order on a board.
#[derive(Serialize, ToSchema)]
#[schema(as = BoardOrder)]
pub(crate) struct BoardOrderBody {
    #[serde(flatten)]
    #[schema(value_type = OrderDocument)]
    order: PublicOrder,
    /// Present and `true` if the restaurant was warned that its time to accept is running out, and still has to accept.
    #[serde(skip_serializing_if = "Not::not")]
    #[schema(required = false)]
    acceptance_due: bool,
}

impl BoardOrderBody {
    pub(crate) fn new(
        order: &Order,
        allowed_actions: Vec<AllowedAction>,
        settings: &RestaurantSettings,
        audience: Audience,
    ) -> Self {
        let acceptance_due = order.is_acceptance_due(settings);
        Self { order: PublicOrder::new(order, allowed_actions, audience), acceptance_due }
    }
}

/// An item of the menu on a board.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BoardItem)]
pub(crate) struct BoardItemBody<'a> {
    /// The item's id in the menu.
    item: &'a Slug,
    /// Name of the item.
    name: &'a Name,
    /// Whether the item is marked as available. An available item with `remaining` 0 cannot be ordered either.
    available: bool,
    /// Time from which an unavailable item is available again. Absent: until its availability is changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    /// Remaining stock; absent if the stock is not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<u32>,
}

impl<'a> From<&'a BoardItem> for BoardItemBody<'a> {
    fn from(item: &'a BoardItem) -> Self {
        let BoardItem { item, name, is_available, until, remaining } = item;
        Self { item, name, available: *is_available, until: *until, remaining: *remaining }
    }
}

/// An order that is no longer on a board.
#[derive(Serialize)]
pub(crate) struct BoardGoneBody {
    id: OrderId,
    /// The order's version.
    version: u32,
    status: OrderStatus,
    /// How the order ended before the delivery, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    closure: Option<PublicClosure>,
}

impl BoardGoneBody {
    pub(crate) fn new(order: &Order, audience: Audience) -> Self {
        let Order { id, version, status, closure, .. } = order;
        let closure = closure.as_ref().map(|closure| PublicClosure::new(closure, audience));
        Self { id: *id, version: *version, status: *status, closure }
    }
}

/// The sums over the orders of a board. If they differ from those of the client's orders, the client has missed
/// something and connects again.
#[derive(Debug, Serialize)]
pub(crate) struct BoardHeartbeatBody<'a> {
    /// Time of the server.
    now: Timestamp,
    /// Name of the server's build.
    build: &'a str,
    /// Number of orders.
    open: usize,
    /// Sum of the orders' versions.
    versions: u64,
    /// XOR of the last 32 bits of the orders' ids (their last eight hexadecimal digits), as an unsigned number.
    ids: u32,
}

impl<'a> BoardHeartbeatBody<'a> {
    pub(crate) const fn new(now: Timestamp, build: &'a str, sums: BoardSums) -> Self {
        let BoardSums { open, versions, ids } = sums;
        Self { now, build, open, versions, ids }
    }
}

/// A device that shows or showed a restaurant's board.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BoardDevice)]
pub(crate) struct BoardDeviceBody {
    /// Id of the device, which the device chose.
    #[schema(value_type = String, format = Uuid)]
    device_id: String,
    /// Name of the device, if it states one.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// The account that is or was signed in.
    account_id: AccountId,
    /// Whether the board is connected. A board whose server has died counts as connected for up to 90 seconds.
    connected: bool,
    /// Begin of the last connection.
    connected_at: Timestamp,
    /// Time at which a server last saw the board connected. Servers record it every 30 seconds, and at the end of the connection.
    last_seen_at: Timestamp,
}

/// The devices that show or showed a restaurant's board.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BoardDevices)]
pub(crate) struct BoardDevicesBody {
    /// The devices that were connected in the last 30 days: connected ones first, newest connection first.
    #[schema(max_items = 50)]
    boards: Vec<BoardDeviceBody>,
    /// Time since which no board is connected. Absent while a board is connected, and without boards.
    #[serde(skip_serializing_if = "Option::is_none")]
    unattended_since: Option<Timestamp>,
}

impl From<RestaurantBoards> for BoardDevicesBody {
    fn from(found: RestaurantBoards) -> Self {
        let RestaurantBoards { boards, now, unattended_since } = found;
        let device = |board: Board| BoardDeviceBody {
            connected: board.is_connected_at(now),
            device_id: board.device_id.to_string(),
            device: board.device,
            account_id: board.account_id,
            connected_at: board.connected_at,
            last_seen_at: board.last_seen_at,
        };
        Self { boards: boards.into_iter().map(device).collect(), unattended_since }
    }
}

/// A message of a board's stream (server-sent events), by its fields.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the stream writes")]
pub(crate) struct BoardMessage {
    /// `snapshot`, `order`, `gone`, `restaurant`, `item`, `heartbeat` or `bye`.
    event: String,
    /// JSON in one line: `Board` (a part of it) for `snapshot`, `BoardOrder` for `order`, `Restaurant` for `restaurant`,
    /// `BoardItem` for `item`, or the content of `gone`, `heartbeat` or `bye`.
    data: String,
    /// Time after which a client reconnects, in milliseconds. Only in the first message.
    retry: Option<u32>,
}
