//! Public events and bodies of orders: the form in which Dabba shows an order and its events, for one audience.
//!
//! [`public_event`] turns a stored event into a `CloudEvents` 1.0 envelope. `public/table.rs` is the one table of what each
//! audience sees: every member of every event, with its audiences, and the reason where an audience does not see it. The
//! serialization, the JSON Schema ([`schema()`]), the `AsyncAPI` description ([`asyncapi()`]) and the page
//! `docs/reference/events.md` all follow from that table, so they cannot differ.
//!
//! A stored type is never serialized as a whole. `public/content.rs` takes each stored struct apart by naming all its
//! fields, so a new field of a stored event does not compile until its author decides who sees it.
//!
//! The API and the webhooks show an order through [`PublicOrder`], and its history through [`PublicRecordedEvent`]: the
//! same table decides. [`PublicTracking`] is what a tracking link shows.
//!
//! To add an event: add its members to the table, its conversion in `public/content.rs` (the compiler names it), and its
//! line in `public/describe.rs`. Then regenerate the pages:
//! `DABBA_WRITE_DOCS=1 cargo test --workspace --test public current`.

mod asyncapi;
mod content;
mod describe;
mod envelope;
mod order;
mod report;
mod schema;
mod shape;
mod table;
mod tracking;

use dabba_domain::{Actor, Role};
use dabba_engine::Principal;

pub use asyncapi::{RECONNECT_MS, asyncapi};
pub use describe::{EventDescription, common_members, events};
pub use envelope::{
    CONTENT_TYPE, PublicEvent, SPEC_VERSION, TYPES, public_event, public_event_with_order, short_type,
    type_of,
};
pub use order::{PublicClosure, PublicOrder, PublicRecordedEvent};
pub use schema::schema;
pub use shape::{Member, ObjectShape, Shape};
pub use tracking::PublicTracking;

/// The group of readers for which an order or an event is represented. The role of a caller, or of the owner of a webhook
/// endpoint, determines the audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    /// The customer who placed the order.
    Customer,
    /// Staff of the order's restaurant.
    Restaurant,
    /// The courier who carries the order.
    Courier,
    /// Admins, who run the platform.
    Operations,
    /// Services of third parties: API keys with the scope `events:partner` and without `events:read`. They see no
    /// personal data.
    Partner,
}

impl Audience {
    /// All audiences.
    pub const ALL: [Self; 5] =
        [Self::Customer, Self::Restaurant, Self::Courier, Self::Operations, Self::Partner];

    /// Returns the audience to which a caller belongs.
    pub const fn of_caller(caller: &Principal) -> Self {
        if caller.is_partner() {
            return Self::Partner;
        }
        match caller.role {
            Role::Customer => Self::Customer,
            Role::Restaurant => Self::Restaurant,
            Role::Courier => Self::Courier,
            Role::Admin => Self::Operations,
        }
    }

    /// Returns the audience of an actor's role.
    pub const fn of_actor(actor: &Actor) -> Self {
        match actor {
            Actor::Customer { .. } => Self::Customer,
            Actor::Restaurant { .. } => Self::Restaurant,
            Actor::Courier { .. } => Self::Courier,
            Actor::Admin { .. } | Actor::System => Self::Operations,
        }
    }

    /// Returns the name of the audience, as in `customer`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Restaurant => "restaurant",
            Self::Courier => "courier",
            Self::Operations => "operations",
            Self::Partner => "partner",
        }
    }
}
