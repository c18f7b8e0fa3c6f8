//! A commit made ready for writing: checked, and with its JSON written out.

use dabba_domain::order::{Event, RecordedEvent};
use dabba_store::{Change, Commit, StoreError};
use serde_json::value::RawValue;

use crate::{codec::exact_nanoseconds, failure::Failure};

/// A [`Commit`] with all that takes time and needs no database done.
pub(super) struct EncodedCommit {
    pub(super) commit: Commit,
    pub(super) at_ns: i64,
    pub(super) change: Option<EncodedChange>,
    /// When each of the commit's tasks is due.
    pub(super) run_at_ns: Vec<i64>,
}

/// The columns of a [`Change`] that are not simply numbers and names.
pub(super) struct EncodedChange {
    pub(super) closure: Option<String>,
    pub(super) acceptance_deadline_ns: Option<i64>,
    pub(super) ready_by_ns: Option<i64>,
    pub(super) placed_at_ns: i64,
    pub(super) updated_at_ns: i64,
    pub(super) events: Vec<EncodedEvent>,
}

/// The columns of an event.
pub(super) struct EncodedEvent {
    pub(super) name: &'static str,
    /// Nothing, for an event that is only a name.
    pub(super) data: Option<String>,
    pub(super) actor: String,
    pub(super) at_ns: i64,
}

impl EncodedCommit {
    /// Checks a commit and writes out its JSON.
    pub(super) fn new(commit: Commit) -> Result<Self, StoreError> {
        commit.check()?;
        Self::encode(commit).map_err(Failure::into_store_error)
    }

    fn encode(commit: Commit) -> Result<Self, Failure> {
        let change = commit.change.as_ref().map(EncodedChange::new).transpose()?;
        let run_at_ns =
            commit.tasks.iter().map(|task| exact_nanoseconds(task.run_at)).collect::<Result<_, _>>()?;
        Ok(Self { at_ns: exact_nanoseconds(commit.at)?, change, run_at_ns, commit })
    }
}

impl EncodedChange {
    fn new(change: &Change) -> Result<Self, Failure> {
        let Change { order, events } = change;
        Ok(Self {
            closure: order.closure.as_ref().map(serde_json::to_string).transpose()?,
            acceptance_deadline_ns: order.acceptance_deadline.map(exact_nanoseconds).transpose()?,
            ready_by_ns: order.ready_by.map(exact_nanoseconds).transpose()?,
            placed_at_ns: exact_nanoseconds(order.placed_at)?,
            updated_at_ns: exact_nanoseconds(order.updated_at)?,
            events: events.iter().map(EncodedEvent::new).collect::<Result<_, _>>()?,
        })
    }
}

impl EncodedEvent {
    fn new(recorded: &RecordedEvent) -> Result<Self, Failure> {
        let data = match &recorded.event {
            // The one event that is large, and would be copied below.
            Event::Placed(details) => Some(serde_json::to_string(details)?),
            event => content_of(event)?,
        };
        Ok(Self {
            name: recorded.event.name(),
            data,
            actor: serde_json::to_string(&recorded.actor)?,
            at_ns: exact_nanoseconds(recorded.at)?,
        })
    }
}

/// The content of an event without its name, which has a column of its own.
fn content_of(event: &Event) -> Result<Option<String>, Failure> {
    #[derive(serde::Deserialize)]
    struct Tagged<'json> {
        #[serde(borrow)]
        data: Option<&'json RawValue>,
    }
    let json = serde_json::to_string(event)?;
    let tagged: Tagged<'_> = serde_json::from_str(&json)?;
    Ok(tagged.data.map(|data| data.get().to_owned()))
}
