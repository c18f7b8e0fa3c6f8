//! The requests to endpoints, and the judgement of their responses.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dabba_domain::Timestamp;
use dabba_engine::{EgressAttempt, EgressFailureKind, EgressRequest};
use dabba_store::{FeedEvent, WebhookContentType};
use serde_json::{json, value::RawValue};
use sha2::{Digest as _, Sha256};

use super::{
    endpoint::Endpoint,
    signature::{SIGNATURE_HEADER, signed_headers},
};
use crate::public::{PublicEvent, SPEC_VERSION, public_event, public_event_with_order};

/// Type of the event that `/test` sends.
pub const TEST_TYPE: &str = "app.dabba.webhook.test.v1";

/// Status by which an endpoint states that it is gone for good.
const GONE: u16 = 410;

/// Statuses by which an endpoint states that it gets too much.
const OVERLOADED: [u16; 2] = [429, 503];

/// Returns the request that delivers events. `orders` contains the order after each event, or nothing. An endpoint with
/// batches gets every delivery as an array, even of one event.
///
/// The id of the message is the id of the event; that of a batch of several events is a digest of their ids, so that
/// two different batches never have the same id.
pub(super) fn request(
    endpoint: &Endpoint,
    events: &[Arc<FeedEvent>],
    orders: Vec<Box<RawValue>>,
    at: Timestamp,
) -> Result<EgressRequest, String> {
    let mut orders = orders.into_iter();
    let represent = |event: &Arc<FeedEvent>| match orders.next() {
        Some(order) => public_event_with_order(event, endpoint.audience, order),
        None => public_event(event, endpoint.audience),
    };
    let public: Vec<PublicEvent> = events.iter().map(represent).collect();
    let body = match &public[..] {
        [event] if endpoint.batch == 1 => serde_json::to_vec(event),
        all => serde_json::to_vec(all),
    };
    let id = match &public[..] {
        [event] => event.id.clone(),
        all => {
            let mut digest = Sha256::new();
            for event in all {
                digest.update(format!("{} ", event.id));
            }
            format!("batch-{}", hex::encode(&digest.finalize()[..16]))
        }
    };
    signed(endpoint, &id, at, body.map_err(|error| error.to_string())?)
}

/// Returns the request that delivers a test event.
pub(super) fn test_request(endpoint: &Endpoint, at: Timestamp, random: u64) -> Result<EgressRequest, String> {
    let id = format!("test-{random:016x}");
    let subject = endpoint.stored.id.to_string();
    let path = format!("/v1/webhook-endpoints/{subject}");
    let event = json!({
        "specversion": SPEC_VERSION, "id": id, "source": path, "type": TEST_TYPE, "subject": subject,
        "time": at, "datacontenttype": crate::public::CONTENT_TYPE,
        "data": { "webhook_endpoint_id": subject },
    });
    let event = if endpoint.batch == 1 { event } else { json!([event]) };
    signed(endpoint, &id, at, event.to_string().into_bytes())
}

fn signed(endpoint: &Endpoint, id: &str, at: Timestamp, body: Vec<u8>) -> Result<EgressRequest, String> {
    let secrets = endpoint.signing(at)?;
    let signed = signed_headers(&secrets, id, at, &body);
    let signed = signed.map_err(|error| format!("the {SIGNATURE_HEADER} cannot be made: {error}"))?;
    let content_type = match endpoint.stored.settings.content_type {
        _ if endpoint.batch > 1 => "application/cloudevents-batch+json",
        WebhookContentType::Json => "application/json",
        WebhookContentType::CloudEvents => "application/cloudevents+json",
    };
    let mut headers = vec![("content-type", content_type.to_owned())];
    headers.extend(signed);
    Ok(EgressRequest { url: endpoint.url.clone(), headers, body: Bytes::from(body) })
}

/// The judgement of an attempt.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) duration: Duration,
    /// Status of the response, if there was one.
    pub(super) status: Option<u16>,
    /// Text for the owner of the endpoint; `None` if the endpoint accepted the delivery.
    pub(super) error: Option<String>,
    /// The pause that the endpoint wants.
    pub(super) retry_after: Option<Duration>,
    /// Whether no connection was made, so that the failure does not depend on the order.
    pub(super) is_unreachable: bool,
    /// Whether nothing was sent, because an order cannot be represented. Such a failure says nothing about the
    /// endpoint.
    pub(super) is_of_order: bool,
}

impl Verdict {
    pub(super) fn failed(error: String, duration: Duration) -> Self {
        let (error, retry_after) = (Some(error), None);
        Self { duration, status: None, error, retry_after, is_unreachable: false, is_of_order: false }
    }

    /// Returns the verdict of a delivery that was not sent, because an order in it cannot be represented.
    pub(super) fn unrendered(error: String) -> Self {
        Self { is_of_order: true, ..Self::failed(error, Duration::ZERO) }
    }

    /// Judges a response: only a status from 200 to 299 is a success.
    pub(super) fn of(attempt: EgressAttempt, now: Timestamp) -> Self {
        let EgressAttempt { outcome, duration } = attempt;
        match outcome {
            Ok(reply) => {
                let status = reply.status;
                let colon = if reply.excerpt.is_empty() { "" } else { ": " };
                let error = match status {
                    200..=299 => None,
                    300..=399 => {
                        Some(format!("the endpoint responded with {status}; redirects are not followed"))
                    }
                    _ => Some(format!("the endpoint responded with {status}{colon}{}", reply.excerpt)),
                };
                let retry_after = reply.retry_after.map(|pause| pause.delay_from(now));
                let status = Some(status);
                Self { duration, status, error, retry_after, is_unreachable: false, is_of_order: false }
            }
            Err(failure) => {
                use EgressFailureKind::{Connect, Dns, Protocol, Refused, SlowBody, Timeout, Tls};
                let is_unreachable = match failure.kind {
                    Refused | Dns | Connect | Tls => true,
                    Timeout | SlowBody | Protocol => false,
                };
                let error = Some(format!("{}: {}", failure.kind.name(), failure.text));
                let (status, retry_after) = (failure.status, None);
                Self { duration, status, error, retry_after, is_unreachable, is_of_order: false }
            }
        }
    }

    pub(super) const fn is_success(&self) -> bool {
        self.error.is_none()
    }

    /// Returns whether the endpoint states that it is gone.
    pub(super) fn is_gone(&self) -> bool {
        self.status == Some(GONE)
    }

    /// Returns whether the endpoint asks for a pause, whatever the events are.
    pub(super) fn wants_pause(&self) -> bool {
        self.retry_after.is_some() || self.status.is_some_and(|status| OVERLOADED.contains(&status))
    }

    pub(super) fn duration_ms(&self) -> u32 {
        u32::try_from(self.duration.as_millis()).unwrap_or(u32::MAX)
    }
}
