//! Reports of requests that take long.

use std::{pin::pin, time::Duration};

/// Reports a request to a person who waits for it, once per request.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlowNote {
    pub(super) after: Duration,
    /// Takes the URL of the request and its timeout.
    pub(super) note: fn(&str, Duration),
}

impl SlowNote {
    /// Waits for the response to a request, and reports the request if that takes long.
    pub(super) async fn wait<T>(
        note: Option<Self>,
        url: &str,
        timeout: Duration,
        response: impl Future<Output = T>,
    ) -> T {
        let Some(Self { after, note }) = note.filter(|slow| slow.after < timeout) else {
            return response.await;
        };
        let mut response = pin!(response);
        if let Ok(response) = tokio::time::timeout(after, &mut response).await {
            return response;
        }
        note(url, timeout);
        response.await
    }
}
