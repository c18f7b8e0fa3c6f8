//! Webhook sender. It sends each report after the change, at least once; some reports late and some twice, as
//! real providers do.
//!
//! Reports wait in memory. A report is lost if the process ends, if too many reports are waiting, or if the
//! receiver accepts none of many attempts. The answer to a call shows the current state of a payment in any
//! case.

use std::{sync::Arc, time::Duration};

use dabba_engine::{Clock, Random};
use dabba_store::Backoff;
use reqwest::{Client, Url, header};
use tokio::{
    sync::mpsc::{self, WeakSender},
    task::JoinSet,
    time::{Interval, MissedTickBehavior, interval, sleep},
};

use super::{
    http::{self, AddressError},
    provider::Provider,
    signature::{SIGNATURE_HEADER, WebhookSecret},
    wire::Notification,
};

/// Maximum number of reports that wait to be sent.
const MAX_WAITING: usize = 10_000;
/// Maximum number of reports that are being sent.
const MAX_IN_FLIGHT: usize = 256;
/// Maximum number of attempts to send a report. With the pauses below, they take about a minute and a half.
const MAX_ATTEMPTS: u32 = 12;
/// Pause after a failed attempt.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(500), max: Duration::from_secs(30) };
/// Timeout for connecting to the receiver.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval at which the sender decides the payments that are due.
const SETTLE_INTERVAL: Duration = Duration::from_millis(100);
/// On average, one of this number of reports is late, and one is sent twice.
const ONE_IN: u64 = 4;
/// Default delay of a late report.
const LATE_BY: Duration = Duration::from_secs(2);

/// The receiver of the reports.
#[derive(Clone)]
pub struct WebhookTarget {
    client: Client,
    url: Url,
    secret: WebhookSecret,
    random: Arc<dyn Random>,
    late_by: Duration,
}

impl WebhookTarget {
    /// Creates a target with this address and this secret. `random` decides which reports are late and which
    /// are sent twice.
    pub fn new(url: &str, secret: WebhookSecret, random: Arc<dyn Random>) -> Result<Self, AddressError> {
        let (url, client) = (http::address(url)?, http::client(CONNECT_TIMEOUT)?);
        Ok(Self { client, url, secret, random, late_by: LATE_BY })
    }

    /// Sets the delay of late reports.
    pub fn late_by(self, late_by: Duration) -> Self {
        Self { late_by, ..self }
    }
}

/// The queue of reports to be sent.
#[derive(Clone)]
pub(super) struct Webhooks(mpsc::Sender<Notification>);

impl Webhooks {
    /// Queues reports and returns at once.
    pub(super) fn send(&self, notifications: Vec<Notification>) {
        for notification in notifications {
            let order_id = notification.order_id;
            if self.0.try_send(notification).is_err() {
                tracing::warn!(%order_id, "webhook dropped: too many webhooks are waiting");
            }
        }
    }
}

/// Starts the task that sends reports. The task ends after the queue is closed and all reports are sent.
pub(super) fn start(target: WebhookTarget, provider: Arc<Provider>, clock: Arc<dyn Clock>) -> Webhooks {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    let worker = Worker { target: Arc::new(target), clock, in_flight: JoinSet::new() };
    let mut settling = interval(SETTLE_INTERVAL);
    settling.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::spawn(worker.work(receiver, sender.downgrade(), settling, provider));
    Webhooks(sender)
}

struct Worker {
    target: Arc<WebhookTarget>,
    clock: Arc<dyn Clock>,
    in_flight: JoinSet<()>,
}

impl Worker {
    async fn work(
        mut self,
        mut waiting: mpsc::Receiver<Notification>,
        sender: WeakSender<Notification>,
        mut settling: Interval,
        provider: Arc<Provider>,
    ) {
        loop {
            let has_room = self.in_flight.len() < MAX_IN_FLIGHT;
            tokio::select! {
                notification = waiting.recv(), if has_room => match notification {
                    Some(notification) => self.begin(notification),
                    None => break,
                },
                Some(sent) = self.in_flight.join_next() => report(sent),
                _ = settling.tick() => {
                    if let Some(sender) = sender.upgrade() {
                        Webhooks(sender).send(provider.settle(self.clock.now()));
                    }
                }
            }
        }
        while let Some(sent) = self.in_flight.join_next().await {
            report(sent);
        }
    }

    fn begin(&mut self, notification: Notification) {
        let (target, clock) = (Arc::clone(&self.target), Arc::clone(&self.clock));
        self.in_flight.spawn(async move { target.deliver(&notification, &*clock).await });
    }
}

/// Logs a panic of a sending task. The task handles all other errors itself.
fn report(sent: Result<(), tokio::task::JoinError>) {
    if let Err(error) = sent {
        tracing::error!(%error, "a webhook task panicked");
    }
}

impl WebhookTarget {
    async fn deliver(&self, notification: &Notification, clock: &dyn Clock) {
        let order_id = notification.order_id;
        let body = match serde_json::to_vec(notification) {
            Ok(body) => body,
            Err(error) => return tracing::error!(%order_id, %error, "a webhook cannot be serialized"),
        };
        let is_selected = || self.random.next_u64().is_multiple_of(ONE_IN);
        let (is_late, is_sent_twice) = (is_selected(), is_selected());
        if is_late {
            sleep(self.late_by).await;
        }
        for _ in 0..=u8::from(is_sent_twice) {
            if let Err(error) = self.post_with_retries(&body, clock).await {
                tracing::warn!(%order_id, error, "webhook dropped after the last attempt");
                return;
            }
        }
    }

    async fn post_with_retries(&self, body: &[u8], clock: &dyn Clock) -> Result<(), String> {
        let mut attempts = 1;
        loop {
            match self.post(body, clock).await {
                Err(_) if attempts < MAX_ATTEMPTS => {
                    sleep(BACKOFF.pause(attempts, self.random.next_u64())).await;
                    attempts += 1;
                }
                result => return result,
            }
        }
    }

    async fn post(&self, body: &[u8], clock: &dyn Clock) -> Result<(), String> {
        let request = self
            .client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(SIGNATURE_HEADER, self.secret.sign(body, clock.now()))
            .timeout(ATTEMPT_TIMEOUT)
            .body(body.to_vec());
        let response = request.send().await.map_err(http::describe)?;
        let status = response.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("the receiver responded with {}", status.as_u16()))
        }
    }
}
