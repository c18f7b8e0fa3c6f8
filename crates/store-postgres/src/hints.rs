//! Hints (LISTEN and NOTIFY): what other servers have just changed.
//!
//! Whatever changes a catalogue notifies in its own transaction, so that nobody hears of what is rolled
//! back, and whoever hears of a change can read it. Orders never notify in theirs: transactions that do commit
//! one after the other. That there are tasks to do at once is told by a statement of its own, afterwards, and
//! not for each of them.
//!
//! One connection outside the pool listens for the whole store, from the first call of
//! [`Listener::hints`] on. One that is lost is made anew, after pauses that grow. What was notified
//! meanwhile is not told: a hint makes things quicker, and whoever needs to know asks.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dabba_domain::order::TaskQueue;
use dabba_store::{Backoff, Hint, Need, Supervisor};
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{AsyncMessage, Config, Notification};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{PostgresOptions, Randomness, failure::describe, pool::configure, tls::Target};

/// Where changes of catalogues are notified; the payload is the restaurant's id. For statements and
/// for [`LISTEN`].
macro_rules! catalogue_channel {
    () => {
        "dabba_catalogue"
    };
}
pub(crate) use catalogue_channel;

/// Where it is notified that there are tasks to do at once; the payload is the queue's name.
const TASKS_CHANNEL: &str = "dabba_tasks";

const LISTEN: &str = concat!("LISTEN ", catalogue_channel!(), "; LISTEN dabba_tasks");

/// Notifies of tasks. Not in the transaction that writes them: those that notify commit one after the other.
pub(crate) const NOTIFY_OF_TASKS: &str = "SELECT pg_notify('dabba_tasks', $1)";

/// Hints that are kept for one who is slow to take them. What comes beyond takes the place of the oldest.
const MAX_WAITING_HINTS: usize = 1_024;

/// The pauses before attempts to connect again.
const RECONNECT: Backoff = Backoff { base: Duration::from_millis(100), longest: Duration::from_secs(5) };

/// What is added to the application's name where the connections are shown.
const NAME_SUFFIX: &str = " hints";

/// Listens for a store, once somebody wants to know.
pub(crate) struct Listener {
    connector: Arc<Connector>,
    supervisor: Arc<Supervisor>,
    state: Mutex<State>,
}

enum State {
    /// Nobody has asked yet.
    Idle,
    Listening {
        hints: broadcast::Sender<Hint>,
        task: JoinHandle<()>,
    },
    Closed,
}

impl Listener {
    pub(crate) fn new(
        target: &Target,
        options: &PostgresOptions,
        randomness: Randomness,
        supervisor: Arc<Supervisor>,
    ) -> Self {
        let Target { mut config, tls } = target.clone();
        configure(&mut config, options);
        config.application_name(format!("{}{NAME_SUFFIX}", options.application_name));
        let connector = Connector { config, tls, time_limit: options.connect_timeout, randomness };
        Self { connector: Arc::new(connector), supervisor, state: Mutex::new(State::Idle) }
    }

    /// What is notified from now on; ends when the store is closed or dropped.
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
                    // Those who wait for hints keep waiting while it is restarted: their sender lives on.
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
                    // Some were lost, as hints may be.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }

    /// Ends all streams, and the connection.
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

/// What is needed to listen.
struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    /// For connecting, and again for beginning to listen.
    time_limit: Duration,
    randomness: Randomness,
}

impl Connector {
    /// Listens, again and again, until the task is aborted.
    async fn listen(&self, hints: &broadcast::Sender<Hint>) -> Result<(), String> {
        let mut failed_attempts: u32 = 0;
        loop {
            let Err(reason) = self.listen_once(hints, &mut failed_attempts).await;
            failed_attempts = failed_attempts.saturating_add(1);
            if failed_attempts == 1 {
                tracing::warn!(
                    reason,
                    "changes by other servers are not announced; they are still asked for"
                );
            }
            tokio::time::sleep(RECONNECT.pause(failed_attempts, (self.randomness)())).await;
        }
    }

    /// Passes on what is notified until the connection is lost, and answers why it was. The attempts that
    /// failed are forgotten as soon as one has not.
    async fn listen_once(
        &self,
        hints: &broadcast::Sender<Hint>,
        failed_attempts: &mut u32,
    ) -> Result<Infallible, String> {
        let too_slow = |_| "the database does not answer in time".to_owned();
        let connect = timeout(self.time_limit, self.config.connect(self.tls.clone()));
        let (client, mut connection) = connect.await.map_err(too_slow)?.map_err(|error| describe(&error))?;
        let mut listening = pin!(timeout(self.time_limit, client.batch_execute(LISTEN)));
        let mut is_listening = false;
        loop {
            // Nothing is sent or received but while the connection is asked for messages.
            tokio::select! {
                listened = &mut listening, if !is_listening => {
                    listened.map_err(too_slow)?.map_err(|error| describe(&error))?;
                    is_listening = true;
                    if std::mem::take(failed_attempts) > 0 {
                        tracing::info!("changes by other servers are announced again");
                    }
                }
                message = poll_fn(|context| connection.poll_message(context)) => match message {
                    Some(Ok(AsyncMessage::Notification(notification))) => tell(hints, &notification),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(describe(&error)),
                    None => return Err("the connection was closed".to_owned()),
                },
            }
        }
    }
}

/// Passes a notification on, if it is one of ours.
fn tell(hints: &broadcast::Sender<Hint>, notification: &Notification) {
    let payload = notification.payload();
    let hint = if notification.channel() == TASKS_CHANNEL {
        TaskQueue::from_name(payload).map(Hint::Tasks)
    } else {
        payload.parse().ok().map(Hint::Catalogue)
    };
    let Some(hint) = hint else {
        // Whoever can connect can notify.
        tracing::debug!(channel = notification.channel(), payload, "a notification is not understood");
        return;
    };
    // It fails when nobody listens at the moment.
    drop(hints.send(hint));
}
