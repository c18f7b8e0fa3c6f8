//! Sending webhooks: each report after it has happened, at least once, some of them late and some twice, as
//! real providers do.
//!
//! Reports wait in memory. They are lost with the process, when more wait than may, and when the receiver
//! does not take one after many attempts; what a payment has become is told to whoever asks all the same.

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

/// Most reports that wait to be sent.
const MAX_WAITING: usize = 10_000;
/// Most reports that are being sent.
const MAX_IN_HAND: usize = 256;
/// How often it is tried to send a report: with the pauses below, for about a minute and a half.
const MAX_ATTEMPTS: u32 = 12;
/// How long to wait after a failed attempt.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(500), longest: Duration::from_secs(30) };
/// Longest time for making a connection to the receiver.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time for one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How soon it is noticed that a payment is decided for which nobody asks.
const SETTLE_INTERVAL: Duration = Duration::from_millis(100);
/// Of so many reports, one is late, and one is sent twice, on average.
const ONE_IN: u64 = 4;
/// How late a report is that is late, unless set otherwise.
const LATE_BY: Duration = Duration::from_secs(2);

/// Where reports are sent.
#[derive(Clone)]
pub struct WebhookTarget {
    client: Client,
    url: Url,
    secret: WebhookSecret,
    random: Arc<dyn Random>,
    late_by: Duration,
}

impl WebhookTarget {
    /// To this address, signed with this secret. Which reports are late and which are sent twice follows
    /// from `random`.
    pub fn new(url: &str, secret: WebhookSecret, random: Arc<dyn Random>) -> Result<Self, AddressError> {
        let (url, client) = (http::address(url)?, http::client(CONNECT_TIMEOUT)?);
        Ok(Self { client, url, secret, random, late_by: LATE_BY })
    }

    /// The same, where reports that are late are as late as this.
    pub fn late_by(self, late_by: Duration) -> Self {
        Self { late_by, ..self }
    }
}

/// Takes reports to be sent.
#[derive(Clone)]
pub(super) struct Webhooks(mpsc::Sender<Notification>);

impl Webhooks {
    /// Has these sent, without waiting for it.
    pub(super) fn send(&self, notifications: Vec<Notification>) {
        for notification in notifications {
            let order_id = notification.order_id;
            if self.0.try_send(notification).is_err() {
                tracing::warn!(%order_id, "too many webhooks wait to be sent, and one is left out");
            }
        }
    }
}

/// Begins to send reports. That ends when nobody can hand in more and all are sent.
pub(super) fn start(target: WebhookTarget, provider: Arc<Provider>, clock: Arc<dyn Clock>) -> Webhooks {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    let worker = Worker { target: Arc::new(target), clock, in_hand: JoinSet::new() };
    let mut settling = interval(SETTLE_INTERVAL);
    settling.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::spawn(worker.work(receiver, sender.downgrade(), settling, provider));
    Webhooks(sender)
}

struct Worker {
    target: Arc<WebhookTarget>,
    clock: Arc<dyn Clock>,
    in_hand: JoinSet<()>,
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
            let has_room = self.in_hand.len() < MAX_IN_HAND;
            tokio::select! {
                notification = waiting.recv(), if has_room => match notification {
                    Some(notification) => self.begin(notification),
                    None => break,
                },
                Some(sent) = self.in_hand.join_next() => report(sent),
                _ = settling.tick() => {
                    if let Some(sender) = sender.upgrade() {
                        Webhooks(sender).send(provider.settle(self.clock.now()));
                    }
                }
            }
        }
        while let Some(sent) = self.in_hand.join_next().await {
            report(sent);
        }
    }

    fn begin(&mut self, notification: Notification) {
        let (target, clock) = (Arc::clone(&self.target), Arc::clone(&self.clock));
        self.in_hand.spawn(async move { target.deliver(&notification, &*clock).await });
    }
}

/// Sending a report deals with its own errors; what is left is a defect there.
fn report(sent: Result<(), tokio::task::JoinError>) {
    if let Err(error) = sent {
        tracing::error!(%error, "sending a webhook ended badly");
    }
}

impl WebhookTarget {
    async fn deliver(&self, notification: &Notification, clock: &dyn Clock) {
        let order_id = notification.order_id;
        let body = match serde_json::to_vec(notification) {
            Ok(body) => body,
            Err(error) => return tracing::error!(%order_id, %error, "a webhook cannot be written"),
        };
        let is_drawn = || self.random.next_u64().is_multiple_of(ONE_IN);
        let (is_late, is_sent_twice) = (is_drawn(), is_drawn());
        if is_late {
            sleep(self.late_by).await;
        }
        for _ in 0..=u8::from(is_sent_twice) {
            if let Err(error) = self.post_until_taken(&body, clock).await {
                tracing::warn!(%order_id, error, "a webhook is given up");
                return;
            }
        }
    }

    async fn post_until_taken(&self, body: &[u8], clock: &dyn Clock) -> Result<(), String> {
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
        if status.is_success() { Ok(()) } else { Err(format!("it is answered with {}", status.as_u16())) }
    }
}
