//! How values are kept, for every store that keeps them in columns: JSON written out once, times as
//! nanoseconds since 1970. What comes out is exactly what went in, or the fold of an order's events
//! would not be its row (I4).

use std::{borrow::Cow, sync::Arc};

use dabba_domain::{
    RestaurantId, Timestamp,
    ids::Id,
    order::{Event, OrderDetails, RecordedEvent, RefundState, Task, UnknownEvent},
    text::{Slug, stored},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{Change, Commit, NewTask, RecordedTaskFailure, Resource, StoreError, TaskFailure};

/// The version of what this program writes about an order, its row and its events. It rises when something is added that
/// an older program must not decide without: a new type of event, a new meaning of a member. Rows state the highest
/// version of their events in the column `format`.
pub const ORDER_FORMAT: u32 = 1;

/// The version of what this program writes about a restaurant: settings, menu, pause, closure. It rises when something
/// is added that an older program must not price or replace without. Rows state it in the column `format`.
pub const RESTAURANT_FORMAT: u32 = 1;

/// The version of the rule by which this program computes the fingerprint of a request. It rises when an equal request
/// gets another fingerprint than before. A new member of a request that is not serialized where it is absent changes
/// nothing for the requests of before, and so needs no new version. Records state it in the column
/// `fingerprint_version`.
pub const FINGERPRINT_VERSION: u32 = 1;

/// The error for a record that a newer version wrote and that this version needs but does not understand.
pub fn written_by_newer(what: impl std::fmt::Display) -> StoreError {
    StoreError::WrittenByNewer(format!("{what} was written by a newer version of Dabba: upgrade this server"))
}

/// A [`Commit`] with all that takes time and needs no database done.
pub struct EncodedCommit {
    /// The commit.
    pub commit: Arc<Commit>,
    /// When it was decided.
    pub at_ns: i64,
    /// What changes.
    pub change: Option<EncodedChange>,
    /// The columns of the commit's tasks, in their order.
    pub tasks: Vec<EncodedTask>,
}

/// The columns of a task that are not simply numbers and names.
pub struct EncodedTask {
    /// When it is due.
    pub run_at_ns: i64,
    /// What it needs beside the order, as JSON.
    pub payload: Option<String>,
}

/// The columns of a [`Change`] that are not simply numbers and names.
pub struct EncodedChange {
    /// What was agreed: for the order's row and for its first event. Only of a new order.
    pub details: Option<String>,
    /// How the order ended early, as JSON.
    pub closure: Option<String>,
    /// What is given back, as JSON; `None` when nothing is.
    pub refunds: Option<String>,
    /// Until when the restaurant has to accept.
    pub acceptance_deadline_ns: Option<i64>,
    /// When the food is expected to be ready.
    pub ready_by_ns: Option<i64>,
    /// When the order was placed.
    pub placed_at_ns: i64,
    /// When its latest event happened.
    pub updated_at_ns: i64,
    /// The columns of the events, in their order.
    pub events: Vec<EncodedEvent>,
}

/// The columns of an event.
pub struct EncodedEvent {
    /// Its name.
    pub name: &'static str,
    /// Its content; see [`EncodedChange::data_of`].
    data: EventData,
    /// Who made it happen, as JSON.
    pub actor: String,
    /// When it happened.
    pub at_ns: i64,
}

/// The content of an event.
enum EventData {
    /// The change's `details`, which are large and so are written out once.
    Details,
    /// This JSON; nothing, for an event that is only a name.
    Json(Option<String>),
}

impl EncodedCommit {
    /// Checks a commit and writes out its JSON. A commit that cannot be one, and a time that cannot be
    /// kept, is [`StoreError::Corrupt`].
    pub fn new(commit: impl Into<Arc<Commit>>) -> Result<Self, StoreError> {
        let commit = commit.into();
        commit.check()?;
        Self::encode(commit)
    }

    fn encode(commit: Arc<Commit>) -> Result<Self, StoreError> {
        let change = commit.change.as_ref().map(EncodedChange::new).transpose()?;
        let encode_task = |task: &NewTask| {
            let run_at_ns = exact_nanoseconds(task.run_at)?;
            Ok(EncodedTask { run_at_ns, payload: content_of(&task.task)? })
        };
        let tasks = commit.tasks.iter().map(encode_task).collect::<Result<_, StoreError>>()?;
        Ok(Self { at_ns: exact_nanoseconds(commit.at)?, change, tasks, commit })
    }
}

impl EncodedChange {
    fn new(change: &Change) -> Result<Self, StoreError> {
        let Change { order, events } = change;
        let is_new = events.iter().any(|recorded| matches!(recorded.event, Event::Placed(_)));
        Ok(Self {
            details: is_new.then(|| to_json(&order.details)).transpose()?,
            refunds: (!order.refunds.is_empty()).then(|| to_json(&order.refunds)).transpose()?,
            closure: order.closure.as_ref().map(to_json).transpose()?,
            acceptance_deadline_ns: order.acceptance_deadline.map(exact_nanoseconds).transpose()?,
            ready_by_ns: order.ready_by.map(exact_nanoseconds).transpose()?,
            placed_at_ns: exact_nanoseconds(order.placed_at)?,
            updated_at_ns: exact_nanoseconds(order.updated_at)?,
            events: events.iter().map(EncodedEvent::new).collect::<Result<_, _>>()?,
        })
    }

    /// The content of one of this change's events as JSON; `None` for an event that is only a name.
    pub fn data_of<'a>(&'a self, event: &'a EncodedEvent) -> Option<&'a str> {
        match &event.data {
            EventData::Details => self.details.as_deref(),
            EventData::Json(json) => json.as_deref(),
        }
    }
}

impl EncodedEvent {
    fn new(recorded: &RecordedEvent) -> Result<Self, StoreError> {
        let data = match &recorded.event {
            Event::Placed(_) => EventData::Details,
            event => EventData::Json(content_of(event)?),
        };
        let name = recorded.event.known_name().ok_or_else(|| {
            let name = recorded.event.name();
            StoreError::Corrupt(format!("{name} is an event of a newer version, which nobody here decides"))
        })?;
        Ok(Self { name, data, actor: to_json(&recorded.actor)?, at_ns: exact_nanoseconds(recorded.at)? })
    }
}

/// The content of an event or a task without its name, which has a column of its own.
fn content_of<T: Serialize>(value: &T) -> Result<Option<String>, StoreError> {
    #[derive(serde::Deserialize)]
    struct Tagged<'json> {
        #[serde(borrow, alias = "payload")]
        data: Option<&'json RawValue>,
    }
    let json = to_json(value)?;
    let tagged: Tagged<'_> = serde_json::from_str(&json).map_err(corrupt)?;
    // An event whose content may be absent is stored as it was when it could have none.
    Ok(tagged.data.map(RawValue::get).filter(|data| *data != "{}").map(str::to_owned))
}

/// The task with this name and content.
pub fn decode_task(kind: &str, payload: Option<&str>) -> Result<Task, StoreError> {
    let kind = to_json(&kind)?;
    let json = match payload {
        Some(payload) => format!(r#"{{"kind":{kind},"payload":{payload}}}"#),
        None => format!(r#"{{"kind":{kind}}}"#),
    };
    decode_json(&json).map_err(corrupt)
}

/// What is given back of an order, from its JSON.
pub fn decode_refunds(json: Option<&str>) -> Result<Vec<RefundState>, StoreError> {
    json.map_or(Ok(Vec::new()), |json| decode_json(json).map_err(corrupt))
}

/// The event with this name and content. An event of another name than this program knows is
/// [`Event::Unknown`].
pub fn decode_event(name: &str, data: Option<&str>) -> Result<Event, StoreError> {
    if !Event::is_known(name) {
        let data = data.map(serde_json::from_str).transpose().map_err(corrupt)?;
        return Ok(Event::Unknown(UnknownEvent { name: name.into(), data }));
    }
    // A name that is only a column's content still has to be written as JSON says.
    let name_json = to_json(&name)?;
    match data {
        // The one event that is large, and would be copied below.
        Some(details) if name == "placed" => Ok(Event::Placed(decode_details(details)?)),
        Some(data) => decode_json(&format!(r#"{{"type":{name_json},"data":{data}}}"#)).map_err(corrupt),
        // The one event whose content may be absent.
        None if name == "delivered" => Ok(Event::delivered()),
        None => decode_json(&format!(r#"{{"type":{name_json}}}"#)).map_err(corrupt),
    }
}

/// The same for an order of which a newer program wrote something: an event that this program knows by its name alone is
/// [`Event::Unknown`] too.
pub fn decode_event_of_newer(name: &str, data: Option<&str>) -> Result<Event, StoreError> {
    decode_event(name, data).or_else(|_| {
        let data = data.map(serde_json::from_str).transpose().map_err(corrupt)?;
        Ok(Event::Unknown(UnknownEvent { name: name.into(), data }))
    })
}

/// What was agreed, from its JSON.
pub fn decode_details(json: &str) -> Result<Arc<OrderDetails>, StoreError> {
    decode_json(json).map(Arc::new).map_err(corrupt)
}

/// A failure of a task as it is kept, in a list of such.
#[derive(serde::Serialize, serde::Deserialize)]
struct TaskFailureDocument<'a> {
    attempt: u32,
    at_ns: i64,
    error: Cow<'a, str>,
}

/// A failure of a task as JSON, to be put at the end of the task's list.
pub fn encode_task_failure(attempt: u32, failure: &TaskFailure) -> Result<String, StoreError> {
    let at_ns = exact_nanoseconds(failure.at)?;
    to_json(&TaskFailureDocument { attempt, at_ns, error: failure.error.as_str().into() })
}

/// The failures in a task's list.
pub fn decode_task_failures(json: &str) -> Result<Vec<RecordedTaskFailure>, StoreError> {
    let documents: Vec<TaskFailureDocument<'_>> = serde_json::from_str(json).map_err(corrupt)?;
    let decode = |document: TaskFailureDocument<'_>| {
        let failure = TaskFailure { at: timestamp_of(document.at_ns)?, error: document.error.into_owned() };
        Ok(RecordedTaskFailure { attempt: document.attempt, failure })
    };
    documents.into_iter().map(decode).collect()
}

/// What is stored of a claim's resource beside its id. Orders have nothing, so that a row of a claim on an
/// order is what it was before other resources had keys.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum StoredResource {
    Restaurant,
    Stock {
        item: Slug,
        remaining: u32,
    },
    Account,
    #[serde(other)]
    Unknown,
}

/// The id of a claim's resource, and what is stored beside it, as JSON.
pub fn encode_resource(resource: &Resource) -> Result<(Uuid, Option<String>), StoreError> {
    let (id, stored) = match resource {
        Resource::Order(id) => return Ok((id.uuid(), None)),
        Resource::Restaurant(id) => (id.uuid(), StoredResource::Restaurant),
        Resource::Stock { restaurant_id, item, remaining } => {
            (restaurant_id.uuid(), StoredResource::Stock { item: item.clone(), remaining: *remaining })
        }
        Resource::Account(id) => (id.uuid(), StoredResource::Account),
        Resource::Unknown => {
            return Err(StoreError::Corrupt("a claim leads to something unknown".to_owned()));
        }
    };
    Ok((id, Some(serde_json::to_string(&stored).map_err(corrupt)?)))
}

/// The resource from its id and what is stored beside it.
pub fn decode_resource(id: Uuid, json: Option<&str>) -> Result<Resource, StoreError> {
    fn id_of<K>(uuid: Uuid) -> Result<Id<K>, StoreError> {
        Id::from_uuid(uuid).map_err(corrupt)
    }
    let Some(json) = json else { return Ok(Resource::Order(id_of(id)?)) };
    Ok(match serde_json::from_str(json).map_err(corrupt)? {
        StoredResource::Restaurant => Resource::Restaurant(id_of(id)?),
        StoredResource::Stock { item, remaining } => {
            let restaurant_id: RestaurantId = id_of(id)?;
            Resource::Stock { restaurant_id, item, remaining }
        }
        StoredResource::Account => Resource::Account(id_of(id)?),
        StoredResource::Unknown => Resource::Unknown,
    })
}

/// A time to be kept. It has to come out exactly as it went in, so a time outside the years 1677
/// to 2262, which 64 bits of nanoseconds cannot hold, is refused.
pub fn exact_nanoseconds(at: Timestamp) -> Result<i64, StoreError> {
    i64::try_from(at.as_nanosecond())
        .map_err(|_| StoreError::Corrupt(format!("{at} is outside the years 1677 to 2262")))
}

/// A time to be compared with: far away is as good as the farthest that can be kept.
pub fn clamped_nanoseconds(at: Timestamp) -> i64 {
    let nanoseconds = at.as_nanosecond().clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(nanoseconds).unwrap_or(i64::MAX)
}

/// The time that was kept as these nanoseconds.
pub fn timestamp_of(nanoseconds: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).map_err(corrupt)
}

/// Reads a stored document: its texts as they stand, whatever an input has to keep to by now.
pub fn decode_json<'json, T: Deserialize<'json>>(json: &'json str) -> Result<T, serde_json::Error> {
    stored(|| serde_json::from_str(json))
}

fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(corrupt)
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

#[cfg(test)]
mod tests {
    use dabba_domain::order::{Awaited, Closure, RefundBearer, RefundNumber};

    use super::*;

    #[test]
    fn times_are_kept_to_the_nanosecond() {
        for nanoseconds in [i64::MIN, -1, 0, 1, 1_790_000_000_123_456_789, i64::MAX] {
            let at = timestamp_of(nanoseconds).unwrap();
            assert_eq!(exact_nanoseconds(at).unwrap(), nanoseconds);
            assert_eq!(clamped_nanoseconds(at), nanoseconds);
        }
    }

    /// What was written before an order could wait for a payment had waited for its restaurant.
    #[test]
    fn what_expired_before_orders_were_paid_by_card_is_read() {
        let expired = decode_event("expired", Some(r#"{"stock_returned":true}"#)).unwrap();
        assert_eq!(expired, Event::Expired { waited_for: Awaited::Restaurant, stock_returned: true });
        let closure: Closure = serde_json::from_str(r#"{"how":"expired"}"#).unwrap();
        assert_eq!(closure, Closure::Expired { waited_for: Awaited::Restaurant });
        let old = r#"{"amount":5,"reason":"late"}"#;
        let Event::Refunded(refund) = decode_event("refunded", Some(old)).unwrap() else { panic!() };
        assert_eq!((refund.number, refund.borne_by), (RefundNumber::MIN, RefundBearer::Restaurant));
        assert_eq!(decode_refunds(None).unwrap(), []);
        assert_eq!(decode_task("expire_unaccepted", None).unwrap(), Task::ExpireUnaccepted);
    }

    /// An event of a newer program is shown as it is stored, whatever its content; one that this program knows has to be
    /// readable.
    #[test]
    fn an_event_of_a_newer_program_passes_through() {
        for data in [None, Some(r#"{"ready_by":"soon","more":[1,{"x":null}]}"#), Some("7"), Some("null")] {
            let event = decode_event("held_back", data).unwrap();
            assert_eq!(event.name(), "held_back");
            let shown = serde_json::to_value(&event).unwrap();
            let data = data.map(|data| serde_json::from_str::<serde_json::Value>(data).unwrap());
            assert_eq!(shown.get("type").unwrap(), "held_back");
            assert_eq!(shown.get("data").cloned(), data);
        }
        assert!(decode_event("accepted", Some(r#"{"ready_by":"soon"}"#)).is_err());
        for name in Event::NAMES {
            assert!(!matches!(decode_event(name, None), Ok(Event::Unknown(_))), "{name}");
        }
    }

    #[test]
    fn what_is_not_a_task_is_refused() {
        for (kind, payload) in [
            ("dance", None),
            ("authorize_payment", None),
            ("authorize_payment", Some(r#"{"token":"not a token"}"#)),
            ("refund_payment", Some(r#"{"number":0}"#)),
            (r#"capture_payment","x":""#, None),
        ] {
            assert!(matches!(decode_task(kind, payload), Err(StoreError::Corrupt(_))), "{kind}");
        }
        assert!(decode_refunds(Some("{}")).is_err());
    }

    #[test]
    fn times_too_far_away_are_refused_where_they_would_be_kept() {
        assert!(exact_nanoseconds(Timestamp::MAX).is_err());
        assert!(exact_nanoseconds(Timestamp::MIN).is_err());
        assert_eq!(clamped_nanoseconds(Timestamp::MAX), i64::MAX);
        assert_eq!(clamped_nanoseconds(Timestamp::MIN), i64::MIN);
    }
}
