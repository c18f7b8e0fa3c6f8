//! Waiting for what a server or another process does, of which it notifies no test.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// Maximum time to wait for an expected state.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Pause between two attempts, so that a waiting test leaves the processor to the server.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Repeats an attempt until it succeeds, and returns its value. A failed attempt returns what it has found instead.
/// Panics after [`PATIENCE`], even during an attempt, with a message that contains `what` and the last finding.
pub async fn eventually<T, E: Debug>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, E>) -> T {
    let mut last = None;
    let wait = async {
        loop {
            match attempt().await {
                Ok(value) => break value,
                Err(found) => last = Some(found),
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("never: {what}; last found: {last:?}"))
}

/// Does what [`eventually`] does, and blocks the thread. This function cannot interrupt an attempt, so an attempt needs
/// its own timeout, such as the one of [`http_client`](crate::http_client).
pub fn eventually_blocking<T, E: Debug>(what: &str, attempt: impl FnMut() -> Result<T, E>) -> T {
    eventually_within(PATIENCE, what, attempt)
}

/// Does what [`eventually_blocking`] does, with another limit than [`PATIENCE`].
pub fn eventually_within<T, E: Debug>(
    limit: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> T {
    let begun = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(found) => assert!(begun.elapsed() < limit, "never: {what}; last found: {found:?}"),
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Compares a finding with the expected value. Returns the finding as an error if they differ.
pub fn equal<T: PartialEq>(found: T, expected: &T) -> Result<(), T> {
    if found == *expected { Ok(()) } else { Err(found) }
}
