//! The receivers of webhooks: servers of others, which record what they accept, and the layer between them and the
//! servers, in which requests fail, hang, get lost and arrive twice.
//!
//! A receiver *accepts* an event when it processes the request, whether the sender learns of it or not. A request that
//! the sender has given up may still arrive, also after the sender's server has died.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use dabba_domain::{OrderId, RestaurantId, Timestamp, order::Version};
use dabba_engine::{
    Egress, EgressAttempt, EgressFailure, EgressFailureKind, EgressReply, EgressRequest, EgressUrlError,
    RetryAfter, TargetUrl,
};
use dabba_outbound::public::short_type;
use tokio::time::{Instant, sleep};

use super::{
    chaos::{Chaos, count},
    coverage::Mark,
    server::Life,
};
use crate::workload::events::{EventHead, EventKey};

/// Time after which the client ends a request without a response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time for which a request hangs. Longer than the client waits.
const MAX_HANG_MILLISECONDS: u32 = 40_000;
/// Maximum time of a message between a server and a receiver that does not hang.
const MAX_LATENCY_MILLISECONDS: u32 = 150;
/// Maximum time for which a receiver is unreachable. Longer than the first pauses of a circuit breaker.
const MAX_OUTAGE_MILLISECONDS: u32 = 120_000;
/// Maximum pause that a receiver demands.
const MAX_DEMANDED_SECONDS: u32 = 60;

/// An event as a receiver accepted it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Receipt {
    pub(super) key: EventKey,
    pub(super) restaurant: RestaurantId,
    /// Short name of the type.
    pub(super) name: String,
    /// Time of the event.
    pub(super) time: Timestamp,
}

/// What all receivers accepted.
#[derive(Default)]
pub(super) struct Receivers(Mutex<Accepted>);

#[derive(Default)]
struct Accepted {
    /// The receivers, by URL.
    receivers: BTreeMap<String, Receiver>,
    /// Bodies that are no events.
    malformed: Vec<String>,
}

#[derive(Default)]
struct Receiver {
    /// The accepted events, in the order of acceptance.
    receipts: Vec<Receipt>,
    known: BTreeSet<(OrderId, Version)>,
    /// Time until which the receiver is unreachable.
    down_until: Option<Instant>,
}

impl Receivers {
    fn lock(&self) -> MutexGuard<'_, Accepted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the events that the receiver with this URL accepted, in the order of acceptance.
    pub(super) fn receipts(&self, url: &str) -> Vec<Receipt> {
        self.lock().receivers.get(url).map(|receiver| receiver.receipts.clone()).unwrap_or_default()
    }

    /// Returns the number of accepted events, and a hash of them in their order.
    pub(super) fn summary(&self) -> (u64, u64) {
        let (mut count, mut hasher) = (0, DefaultHasher::new());
        for (url, receiver) in &self.lock().receivers {
            count += receiver.receipts.len() as u64;
            (url, &receiver.receipts).hash(&mut hasher);
        }
        (count, hasher.finish())
    }

    /// Returns the problems of bodies that are no events.
    pub(super) fn malformed(&self) -> Vec<String> {
        self.lock().malformed.clone()
    }

    fn is_down(&self, url: &str) -> bool {
        let until = self.lock().receivers.get(url).and_then(|receiver| receiver.down_until);
        until.is_some_and(|until| until > Instant::now())
    }

    fn go_down(&self, url: &str, time: Duration) {
        self.lock().receivers.entry(url.to_owned()).or_default().down_until = Some(Instant::now() + time);
    }

    /// Accepts the events of a request.
    fn accept(&self, url: &str, body: &[u8], chaos: &Chaos) {
        let mut accepted = self.lock();
        let receipts = match receipts_of(body) {
            Ok(receipts) => receipts,
            Err(error) => return accepted.malformed.push(format!("a webhook to {url} is no event: {error}")),
        };
        if receipts.len() > 1 {
            chaos.coverage.pass(Mark::WebhookBatch);
        }
        let receiver = accepted.receivers.entry(url.to_owned()).or_default();
        for receipt in receipts {
            if !receiver.known.insert((receipt.key.order, receipt.key.version)) {
                chaos.coverage.pass(Mark::WebhookRepeated);
            }
            receiver.receipts.push(receipt);
        }
    }
}

/// Returns the events in the body of a request: one, or a batch.
fn receipts_of(body: &[u8]) -> Result<Vec<Receipt>, String> {
    let heads: Vec<EventHead<'_>> = if body.first() == Some(&b'[') {
        serde_json::from_slice(body).map_err(|error| error.to_string())?
    } else {
        vec![serde_json::from_slice(body).map_err(|error| error.to_string())?]
    };
    let receipt = |head: &EventHead<'_>| {
        let key = head.key().ok_or("its id does not name an event of an order")?;
        let name = short_type(head.r#type).ok_or("its type is not the type of an order's event")?;
        Ok(Receipt { key, restaurant: head.subject, name: name.to_owned(), time: head.time })
    };
    heads.iter().map(receipt).collect()
}

/// The receivers as one server reaches them.
pub(super) struct FaultyEgress {
    pub(super) chaos: Arc<Chaos>,
    pub(super) receivers: Arc<Receivers>,
    pub(super) life: Arc<Life>,
}

/// Notices that a server died while a request was under way.
struct UnderWay<'a> {
    egress: &'a FaultyEgress,
    has_ended: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.has_ended && self.egress.life.is_over() {
            self.egress.chaos.coverage.pass(Mark::KilledDuringDelivery);
        }
    }
}

impl FaultyEgress {
    /// Waits for the time that a message takes.
    async fn travel(&self) {
        if !self.chaos.is_calm() {
            let milliseconds = self.chaos.below(MAX_LATENCY_MILLISECONDS);
            sleep(Duration::from_millis(milliseconds.into())).await;
        }
    }

    /// Lets the receiver accept a request after a time, whatever becomes of its sender.
    fn arrive_later(&self, url: &str, body: &Bytes, after: Duration) {
        let (receivers, chaos) = (Arc::clone(&self.receivers), Arc::clone(&self.chaos));
        let (url, body) = (url.to_owned(), body.clone());
        tokio::spawn(async move {
            sleep(after).await;
            receivers.accept(&url, &body, &chaos);
        });
    }

    fn failed(&self, kind: EgressFailureKind) -> Result<EgressReply, EgressFailure> {
        Err(EgressFailure { kind, status: None, text: self.chaos.fail() })
    }

    /// Sends a request, whose fate is drawn.
    async fn send(&self, url: &str, body: &Bytes) -> Result<EgressReply, EgressFailure> {
        let (chaos, rates) = (&self.chaos, &self.chaos.rates);
        self.travel().await;
        if chaos.happens(rates.receiver_outages) {
            let time = chaos.below(MAX_OUTAGE_MILLISECONDS);
            self.receivers.go_down(url, Duration::from_millis(time.into()));
        }
        if !chaos.is_calm() && self.receivers.is_down(url) {
            chaos.coverage.pass(Mark::ReceiverDown);
            return self.failed(EgressFailureKind::Connect);
        }
        if chaos.happens(rates.receiver_gone) {
            chaos.coverage.pass(Mark::ReceiverGone);
            return Ok(reply(410, None));
        }
        if chaos.happens(rates.receiver_refuses) {
            let pause = Duration::from_secs(chaos.below(MAX_DEMANDED_SECONDS).into());
            let is_demanded = chaos.below(4) == 0;
            chaos.fail();
            return Ok(reply(503, is_demanded.then_some(RetryAfter::Delay(pause))));
        }
        if chaos.happens(rates.receiver_hangs) {
            count(&chaos.counts.hangs);
            let time = Duration::from_millis(chaos.below(MAX_HANG_MILLISECONDS).into());
            if time > REQUEST_TIMEOUT {
                chaos.coverage.pass(Mark::WebhookLate);
                self.arrive_later(url, body, time);
                sleep(REQUEST_TIMEOUT).await;
                return self.failed(EgressFailureKind::Timeout);
            }
            sleep(time).await;
        }
        if chaos.happens(rates.receiver_repeats) {
            let time = chaos.below(MAX_HANG_MILLISECONDS);
            self.arrive_later(url, body, Duration::from_millis(time.into()));
        }
        self.receivers.accept(url, body, chaos);
        self.travel().await;
        if chaos.happens(rates.receiver_loses) {
            chaos.coverage.pass(Mark::WebhookResponseLost);
            return self.failed(EgressFailureKind::Protocol);
        }
        Ok(reply(200, None))
    }
}

const fn reply(status: u16, retry_after: Option<RetryAfter>) -> EgressReply {
    EgressReply { status, retry_after, excerpt: String::new(), is_body_cut: false }
}

#[async_trait]
impl Egress for FaultyEgress {
    fn check_url(&self, url: &str) -> Result<TargetUrl, EgressUrlError> {
        Ok(TargetUrl::from_checked(url.to_owned()))
    }

    async fn post(&self, request: EgressRequest) -> EgressAttempt {
        let began = Instant::now();
        let mut under_way = UnderWay { egress: self, has_ended: false };
        let outcome = self.send(request.url.as_str(), &request.body).await;
        under_way.has_ended = true;
        EgressAttempt { outcome, duration: began.elapsed() }
    }
}
