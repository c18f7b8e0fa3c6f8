//! Tells long responses that the server stops.

use std::{convert::Infallible, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use tokio::sync::watch;

use super::registry::ConnectionSlot;

/// The beginning of the server's stop, for responses that would otherwise delay the stop: streams, and requests that
/// wait. Without [`super::serve`], the stop never begins.
#[derive(Clone, Debug, Default)]
pub struct Stopping(Option<Arc<ConnectionSlot>>);

impl Stopping {
    /// Returns the stop of the server that serves a connection.
    pub(super) fn of(slot: &Arc<ConnectionSlot>) -> Self {
        Self(Some(Arc::clone(slot)))
    }

    /// Declares that the response will be an event stream. If the client goes before the response begins, the connection
    /// ends, and the request with it. Otherwise an abandoned request would count in the limits of streams until the
    /// stream is open.
    pub fn expect_stream(&self) {
        // A client of a multiplexed connection resets what it abandons.
        if let Some(slot) = self.0.as_ref().filter(|slot| !slot.activity.is_multiplexed()) {
            slot.activity.begin_stream();
        }
    }

    /// Waits until the stop begins.
    pub async fn begun(&self) {
        let stopping: Option<watch::Receiver<bool>> = self.0.as_ref().map(|slot| slot.stopping());
        let Some(mut stopping) = stopping else { return std::future::pending().await };
        // The sender is dropped only after the last connection.
        let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Stopping {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}
