//! Receivers of outgoing events, to measure how soon and how completely events arrive.
//!
//! | module | purpose |
//! |---|---|
//! | `endpoint` | the webhook endpoints of a run, and their creation through the API |
//! | `receiver` | HTTP servers that the endpoints' URLs name |
//! | `stream` | clients of the live streams |
//! | `receipts` | what an endpoint, a stream or a board records |
//! | `ledger` | the events that one endpoint or stream received, and the latencies |
//! | `board` | what the board of a restaurant received |
//! | `feed` | reads the feed over HTTP |
//! | `comparison` | compares what was received with the feed (I10) |
//!
//! **Latency** is the time from an event's `time` to its first complete receipt. The server decides on an event's time
//! before it commits the event, so the latency includes the commit. Server and receivers run on one machine, so both
//! times are of one clock. Events state whole milliseconds.

mod board;
mod comparison;
mod endpoint;
mod feed;
mod ledger;
mod receipts;
mod receiver;
mod stream;

pub(crate) use self::ledger::EventHead;
pub use self::{
    board::BoardLedger,
    comparison::{Expected, Finding, Interest},
    endpoint::{Class, Endpoint, MAX_ENDPOINTS, NEVER_CAUSED, create_endpoints},
    feed::{CatchUp, FeedEntry, FeedReader},
    ledger::{EventKey, Latencies, Ledger, MAX_EVENTS},
    receipts::{Full, Receipts},
    receiver::{HANGING_PAUSE, Ports, Receivers},
    stream::{StreamRequest, Streams},
};
