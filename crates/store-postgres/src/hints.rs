//! Hints (LISTEN and NOTIFY) of changes by other servers.
//!
//! Every change of a catalogue notifies inside its own transaction. So a rolled-back change is never announced, and a
//! server that receives a notification can read the change. Transactions of orders never notify, because PostgreSQL
//! commits notifying transactions one after the other. Due tasks are announced by a separate statement afterwards,
//! and not for each task; so are events.
//!
//! One connection outside the pool listens for the whole store, from the first call of [`Listener::hints`] on. A lost
//! connection is replaced, with growing pauses between attempts. Notifications in the meantime are lost: a hint only
//! saves time, and every receiver also polls.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dabba_domain::task::TaskQueue;
use dabba_store::{Backoff, Hint, Need, Supervisor};
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{AsyncMessage, Config, Notification};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{PostgresOptions, Randomness, failure::describe, pool::configure, tls::ConnectionTarget};

/// Channel for changed catalogues; the payload is the restaurant's id. A macro, for use in statements and in
/// [`LISTEN`].
macro_rules! catalogue_channel {
    () => {
        "dabba_catalogue"
    };
}
pub(crate) use catalogue_channel;

/// Channel for tasks that are due at once; the payload is the queue's name.
const TASKS_CHANNEL: &str = "dabba_tasks";

/// Channel for new events of the database's feed; the payload is empty.
const EVENTS_CHANNEL: &str = "dabba_events";

const LISTEN: &str = concat!("LISTEN ", catalogue_channel!(), "; LISTEN dabba_tasks; LISTEN dabba_events");

/// Announces due tasks. A separate statement after the commit, because notifying transactions commit one after the
/// other.
pub(crate) const NOTIFY_OF_TASKS: &str = "SELECT pg_notify('dabba_tasks', $1)";

/// Announces events. PostgreSQL merges equal notifications of one transaction only, so the caller limits their number.
pub(crate) const NOTIFY_OF_EVENTS: &str = "SELECT pg_notify('dabba_events', '')";

/// Maximum number of hints that wait for a slow receiver. A newer hint replaces the oldest.
const MAX_WAITING_HINTS: usize = 1_024;

/// Pauses between attempts to reconnect.
const RECONNECT: Backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(5) };

/// Suffix of the application name in `pg_stat_activity`.
const NAME_SUFFIX: &str = " hints";

/// Listens for the hints of a store, from the first request on.
pub(crate) struct Listener {
    connector: Arc<Connector>,
    supervisor: Arc<Supervisor>,
    state: Mutex<State>,
}

enum State {
    /// No receiver yet.
    Idle,
    Listening {
        hints: broadcast::Sender<Hint>,
        task: JoinHandle<()>,
    },
    Closed,
}

impl Listener {
    pub(crate) fn new(
        target: &ConnectionTarget,
        options: &PostgresOptions,
        randomness: Randomness,
        supervisor: Arc<Supervisor>,
    ) -> Self {
        let ConnectionTarget { mut config, tls } = target.clone();
        configure(&mut config, options);
        config.application_name(format!("{}{NAME_SUFFIX}", options.application_name));
        let connector = Connector { config, tls, connect_timeout: options.connect_timeout, randomness };
        Self { connector: Arc::new(connector), supervisor, state: Mutex::new(State::Idle) }
    }

    /// Returns the hints from now on. The stream ends when the store is closed or dropped.
    pub(crate) fn hints(&self) -> BoxStream<'static, Hint> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = match &*state {
            State::Listening { hints, .. } => hints.subscribe(),
            State::Closed => return stream::empty().boxed(),
            State::Idle => {
                let (hints, receiver) = broadcast::channel(MAX_WAITING_HINTS);
                let (connector, supervisor) = (Arc::clone(&self.connector), Arc::clone(&self.supervisor));
                let sender = hints.clone();
                let task = tokio::spawn(async move {
                    let part = supervisor.part("hint_listener", Need::Helpful);
                    // Receivers keep waiting during a restart of this part, because their sender stays.
                    supervisor.run(&part, || connector.listen(&sender)).await;
                });
                *state = State::Listening { hints, task };
                receiver
            }
        };
        stream::unfold(receiver, async |mut receiver| {
            loop {
                match receiver.recv().await {
                    Ok(hint) => return Some((hint, receiver)),
                    // Some hints were lost, which is allowed.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }

    /// Ends all streams, and closes the connection.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Listening { task, .. } = std::mem::replace(&mut *state, State::Closed) {
            task.abort();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

/// Configuration of the listening connection.
struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    /// Maximum time for connecting, and for LISTEN.
    connect_timeout: Duration,
    randomness: Randomness,
}

impl Connector {
    /// Listens, and reconnects after each failure, until the task is aborted.
    async fn listen(&self, hints: &broadcast::Sender<Hint>) -> Result<(), String> {
        let mut failed_attempts: u32 = 0;
        loop {
            let Err(reason) = self.listen_once(hints, &mut failed_attempts).await;
            failed_attempts = failed_attempts.saturating_add(1);
            if failed_attempts == 1 {
                tracing::warn!(
                    reason,
                    "notifications of changes by other servers are interrupted; this server still polls for changes"
                );
            }
            tokio::time::sleep(RECONNECT.pause(failed_attempts, (self.randomness)())).await;
        }
    }

    /// Forwards notifications until the connection is lost, and returns the reason. Resets the number of failed
    /// attempts once listening succeeds.
    async fn listen_once(
        &self,
        hints: &broadcast::Sender<Hint>,
        failed_attempts: &mut u32,
    ) -> Result<Infallible, String> {
        let too_slow = |_| "the database does not respond in time".to_owned();
        let connect = timeout(self.connect_timeout, self.config.connect(self.tls.clone()));
        let (client, mut connection) = connect.await.map_err(too_slow)?.map_err(|error| describe(&error))?;
        let mut listening = pin!(timeout(self.connect_timeout, client.batch_execute(LISTEN)));
        let mut is_listening = false;
        loop {
            // The connection sends and receives only while it is polled.
            tokio::select! {
                listened = &mut listening, if !is_listening => {
                    listened.map_err(too_slow)?.map_err(|error| describe(&error))?;
                    is_listening = true;
                    if std::mem::take(failed_attempts) > 0 {
                        tracing::info!("notifications of changes by other servers work again");
                    }
                }
                message = poll_fn(|context| connection.poll_message(context)) => match message {
                    Some(Ok(AsyncMessage::Notification(notification))) => forward(hints, &notification),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(describe(&error)),
                    None => return Err("the connection was closed".to_owned()),
                },
            }
        }
    }
}

/// Forwards a notification if it is one of Dabba's.
fn forward(hints: &broadcast::Sender<Hint>, notification: &Notification) {
    let payload = notification.payload();
    let hint = match notification.channel() {
        TASKS_CHANNEL => TaskQueue::from_name(payload).map(Hint::Tasks),
        // The connection belongs to one database, which is one shard.
        EVENTS_CHANNEL => Some(Hint::Events { shard: 0 }),
        _ => payload.parse().ok().map(Hint::Catalogue),
    };
    let Some(hint) = hint else {
        // Every client of the database can notify.
        tracing::debug!(channel = notification.channel(), payload, "an unknown notification is ignored");
        return;
    };
    // Sending fails if there is no receiver at the moment.
    drop(hints.send(hint));
}
