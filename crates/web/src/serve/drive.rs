//! Polls what runs on a connection, and ends it at the deadlines and limits of the connection.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    task::coop::has_budget_remaining,
    time::{Instant, sleep_until},
};

use super::registry::ConnectionSlot;

/// Time in which the client of a connection without requests answers the server's announcement that the connection ends.
const GOODBYE: Duration = Duration::from_secs(1);

/// What runs on a connection: a handshake, or a protocol.
pub(super) trait Serving {
    /// The result.
    type Output;

    /// Whether it ends by itself after [`Self::shut_down`], once its client answers. Otherwise the connection is dropped as
    /// soon as it is at rest.
    const SAYS_GOODBYE: bool = false;

    /// Makes progress.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Self::Output>;

    /// Begins to end after the requests in flight.
    fn shut_down(&mut self);
}

/// Polls until the result is there. Returns `None` if the connection was closed: because of its deadlines, for other
/// connections, or at rest while the server stops.
pub(super) async fn drive<S: Serving>(
    mut serving: S,
    slot: &ConnectionSlot,
    address: SocketAddr,
) -> Option<S::Output> {
    let activity = &slot.activity;
    let mut timer = pin!(sleep_until(activity.deadline().unwrap_or_else(Instant::now)));
    let mut is_timer_polled = false;
    let mut is_shutdown_begun = false;
    let mut says_goodbye_until: Option<Instant> = None;
    poll_fn(|context| {
        activity.register(context.waker());
        activity.begin_turn();
        if activity.is_closed() {
            return Poll::Ready(None);
        }
        if activity.is_stopping() && !is_shutdown_begun {
            is_shutdown_begun = true;
            serving.shut_down();
        }
        if let Poll::Ready(served) = serving.poll(context) {
            return Poll::Ready(Some(served));
        }
        if is_shutdown_begun {
            let is_at_rest = activity.is_at_rest();
            if is_at_rest && !S::SAYS_GOODBYE {
                return Poll::Ready(None);
            }
            says_goodbye_until =
                is_at_rest.then(|| says_goodbye_until.unwrap_or_else(|| Instant::now() + GOODBYE));
        }
        // If a deadline moves to a later time, the task notices that when the timer fires. So most requests neither set nor poll
        // the timer; the timer keeps this task's waker.
        while let Some(deadline) = activity.deadline().into_iter().chain(says_goodbye_until).min() {
            if deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
                is_timer_polled = false;
            }
            if is_timer_polled && !timer.is_elapsed() {
                break;
            }
            // Without coop budget, the timer yields and does not keep the waker.
            is_timer_polled = has_budget_remaining();
            if timer.as_mut().poll(context).is_pending() {
                break;
            }
            if deadline <= Instant::now() {
                tracing::debug!(%address, "a connection is closed: its client is too slow or makes no requests");
                return Poll::Ready(None);
            }
            timer.as_mut().reset(deadline);
            is_timer_polled = false;
        }
        Poll::Pending
    })
    .await
}
