//! What extractors find out about a request, for the layer around it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use axum::http::request::Parts;
use dabba_engine::Principal;

use crate::quota::Report;

/// Facts that extractors find out about a request, kept for its response after the parts of the request are gone: the caller, the
/// remaining budgets of the caller, and whether the body is still being read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<Noted>);

#[derive(Debug, Default)]
struct Noted {
    caller: OnceLock<Principal>,
    report: OnceLock<Report>,
    is_reading_body: AtomicBool,
}

impl Seen {
    /// Stores whether the body is being read. Nothing is done for a request before its body is complete.
    pub(crate) fn set_reading_body(&self, is_reading: bool) {
        self.0.is_reading_body.store(is_reading, Ordering::Relaxed);
    }

    /// Returns whether the body is being read.
    pub(crate) fn is_reading_body(&self) -> bool {
        self.0.is_reading_body.load(Ordering::Relaxed)
    }

    /// Stores the caller of a request.
    pub(crate) fn store_caller(parts: &Parts, caller: Principal) {
        if let Some(Self(seen)) = parts.extensions.get() {
            // A request has one caller, so a second call stores the same.
            let _ = seen.caller.set(caller);
        }
    }

    /// Stores the remaining budgets after the request has spent from them.
    pub(crate) fn store_report(parts: &Parts, report: Report) {
        if let Some(seen) = Self::of(parts) {
            seen.set_report(report);
        }
    }

    /// Returns the facts about a request, to add to them after the parts of the request are gone.
    pub(crate) fn of(parts: &Parts) -> Option<&Self> {
        parts.extensions.get()
    }

    /// Stores the remaining budgets after the request has spent from them.
    pub(crate) fn set_report(&self, report: Report) {
        let _ = self.0.report.set(report);
    }

    /// Returns the caller, if an extractor has identified it.
    pub(crate) fn caller(&self) -> Option<&Principal> {
        self.0.caller.get()
    }

    /// Returns the remaining budgets, if the request has spent from any.
    pub(crate) fn report(&self) -> Option<&Report> {
        self.0.report.get()
    }
}
