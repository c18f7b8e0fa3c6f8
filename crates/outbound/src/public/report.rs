//! Log lines about events whose content is not published.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use dabba_domain::order::{Event, RecordedEvent};
use dabba_store::{FeedEvent, StoreError};

/// Maximum number of remembered log lines. Beyond it, Dabba forgets all of them and may log an event again.
const MAX_REMEMBERED: usize = 10_000;

/// The subjects that this process has logged.
static REMEMBERED: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// Returns whether the subject is new, and remembers it.
fn is_new(subject: String) -> bool {
    let mut remembered = REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
    let subjects = remembered.get_or_insert_default();
    if subjects.len() >= MAX_REMEMBERED {
        subjects.clear();
    }
    subjects.insert(subject)
}

/// Logs once if the content of an event cannot be published: once per unknown type, and once per damaged event. The lines
/// contain neither content nor the decoder's error, which may quote content.
pub(super) fn withheld(event: &FeedEvent, decoded: Result<&RecordedEvent, &StoreError>) {
    let (order_id, version, name) = (event.order_id, event.version, &*event.name);
    match decoded {
        Ok(recorded) if !matches!(recorded.event, Event::Unknown(_)) => {}
        Ok(_) => {
            if is_new(format!("type {name}")) {
                tracing::info!(
                    %order_id, version, event = name,
                    "a newer version of Dabba wrote this type of event; it is published without its content"
                );
            }
        }
        Err(_) => {
            if is_new(format!("event {order_id} {version}")) {
                tracing::error!(
                    %order_id, version, event = name,
                    "the stored event is damaged; it is published without its content: run dabba audit"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a subject is logged once, and that the memory is bounded.
    #[test]
    fn a_subject_is_new_once() {
        assert!(is_new("test 1".to_owned()));
        assert!(!is_new("test 1".to_owned()));
        for number in 0..=MAX_REMEMBERED {
            is_new(format!("other {number}"));
        }
        let remembered = REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(remembered.as_ref().is_some_and(|subjects| subjects.len() <= MAX_REMEMBERED));
    }
}
