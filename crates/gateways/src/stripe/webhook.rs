//! Stripe's webhook events.
//!
//! Stripe signs an event, together with its sending time, with the secret of the webhook endpoint
//! (`whsec_…`). Stripe may send an event several times, and events in any order; the domain decides whether a
//! report is still news. These events lead to a report:
//!
//! | event | report |
//! |---|---|
//! | `payment_intent.amount_capturable_updated` | authorized, and how much |
//! | `payment_intent.succeeded` | captured, and how much |
//! | `payment_intent.payment_failed` | declined |
//! | `payment_intent.canceled` | voided |
//! | `refund.created`, `refund.updated`, `refund.failed`, `charge.refund.updated` | refunded if it succeeded, refused if it failed or was cancelled; a refund that Dabba did not request is looked up |
//! | `charge.dispute.created`, `.updated`, `.closed`, `.funds_withdrawn`, `.funds_reinstated` | the dispute is looked up |

use dabba_domain::{Timestamp, order::PaymentReport};
use dabba_engine::{ProviderNotice, ProviderObject};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use sha2::Sha256;

use super::{
    declines,
    objects::{Dispute, ErrorDetail, IntentStatus, PaymentIntent, StripeRefund, StripeRefundStatus},
};

/// The header with an event's signatures and sending time.
pub const SIGNATURE_HEADER: &str = "stripe-signature";

/// Maximum difference between an event's sending time and now, in either direction. It prevents a replay of
/// a recorded event.
pub const WEBHOOK_TOLERANCE: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// Maximum number of signatures that are checked. While a secret is being replaced, an event has two.
const MAX_SIGNATURES: usize = 8;

/// Length of an HMAC-SHA256, in bytes.
const SIGNATURE_LENGTH: usize = 32;

/// The reason why an event is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StripeWebhookError {
    /// The header has no sending time, or no signature of a known scheme.
    #[error("the signature header must have the form t=SECONDS,v1=SIGNATURE")]
    Header,
    /// The event was not signed with this secret, or was changed in transit.
    #[error("no signature matches the webhook secret")]
    Signature,
    /// The event was signed too long ago or in the future: an old event is replayed, or a clock is
    /// wrong.
    #[error("the signature's time is more than {} minutes from the current time", WEBHOOK_TOLERANCE.as_mins())]
    Time,
    /// The signature is valid, but the event does not have the form that this version of the API describes.
    #[error("the event does not have the form that Stripe's API describes")]
    Body,
}

/// Reads an event that Stripe sent to a webhook endpoint with this secret. `signature_header` is the value of
/// [`SIGNATURE_HEADER`]; `body` is the unchanged body of the request. The caller limits its size.
///
/// Returns `None` if the event concerns no order: the event has another type, or belongs to a payment of
/// another system that uses the same account. Respond to such an event with success, or Stripe sends it again
/// for days.
pub fn read_webhook(
    secret: &str,
    signature_header: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<Option<ProviderNotice>, StripeWebhookError> {
    verify(secret, signature_header, body, now)?;
    let event: StripeEvent<'_> = serde_json::from_slice(body).map_err(|_| StripeWebhookError::Body)?;
    let object = event.data.object;
    match event.kind.as_str() {
        "payment_intent.amount_capturable_updated"
        | "payment_intent.succeeded"
        | "payment_intent.payment_failed"
        | "payment_intent.canceled" => Ok(of_intent(&event.kind, parse(object)?)),
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            Ok(of_refund(parse(object)?))
        }
        "charge.dispute.created"
        | "charge.dispute.updated"
        | "charge.dispute.closed"
        | "charge.dispute.funds_withdrawn"
        | "charge.dispute.funds_reinstated" => {
            let Dispute { id, .. } = parse(object)?;
            Ok(Some(ProviderNotice::LookUp(ProviderObject::Chargeback(id))))
        }
        _ => Ok(None),
    }
}

#[derive(Deserialize)]
struct StripeEvent<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    data: StripeEventData<'a>,
}

/// The object as it was at the time of the event.
#[derive(Deserialize)]
struct StripeEventData<'a> {
    #[serde(borrow)]
    object: &'a RawValue,
}

fn parse<T: DeserializeOwned>(object: &RawValue) -> Result<T, StripeWebhookError> {
    serde_json::from_str(object.get()).map_err(|_| StripeWebhookError::Body)
}

fn of_intent(kind: &str, intent: PaymentIntent) -> Option<ProviderNotice> {
    let order_id = intent.metadata.order_id()?;
    let report = match (kind, intent.status) {
        ("payment_intent.amount_capturable_updated", IntentStatus::RequiresCapture) => intent.authorized(),
        ("payment_intent.succeeded", _) => intent.captured(),
        ("payment_intent.payment_failed", _) => {
            let error = intent.last_payment_error.unwrap_or_else(|| Box::new(ErrorDetail::default()));
            PaymentReport::Declined { reason: declines::reason(&error) }
        }
        ("payment_intent.canceled", _) => PaymentReport::Voided { reference: intent.id },
        _ => return None,
    };
    Some(ProviderNotice::Report(order_id, report))
}

/// Returns the notice about a refund. A refund that Dabba requested names the order. Every other refund must
/// be looked up at Stripe.
fn of_refund(refund: StripeRefund) -> Option<ProviderNotice> {
    let status = refund.status?;
    let Some((order_id, number)) = refund.metadata.order_id().zip(refund.metadata.refund_number()) else {
        return refund
            .payment_intent
            .is_some()
            .then_some(ProviderNotice::LookUp(ProviderObject::Refund(refund.id)));
    };
    let report = match status {
        StripeRefundStatus::Succeeded => PaymentReport::Refunded { number },
        StripeRefundStatus::Failed | StripeRefundStatus::Canceled => {
            PaymentReport::RefundRefused { number, reason: declines::refund_failure(status, &refund) }
        }
        StripeRefundStatus::Pending | StripeRefundStatus::RequiresAction | StripeRefundStatus::Unknown => {
            return None;
        }
    };
    Some(ProviderNotice::Report(order_id, report))
}

/// Verifies that an event comes from Stripe and was sent recently. The signature is an HMAC-SHA256 over the
/// time, a dot and the body, in hexadecimal digits, under the name `v1`.
fn verify(secret: &str, header: &str, body: &[u8], now: Timestamp) -> Result<(), StripeWebhookError> {
    let mut time = None;
    let mut signatures = Vec::new();
    for (name, value) in header.split(',').filter_map(|part| part.trim().split_once('=')) {
        match name {
            "t" if time.is_some() => return Err(StripeWebhookError::Header),
            "t" => time = Some(value),
            "v1" if signatures.len() < MAX_SIGNATURES => signatures.extend(from_hex(value)),
            _ => {}
        }
    }
    let time = time.ok_or(StripeWebhookError::Header)?;
    let sent_at = time.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let sent_at = sent_at.ok_or(StripeWebhookError::Header)?;
    if signatures.is_empty() {
        return Err(StripeWebhookError::Header);
    }
    // Anybody can sign with an empty secret.
    if secret.is_empty() {
        return Err(StripeWebhookError::Signature);
    }
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| StripeWebhookError::Signature)?;
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    // `verify_slice` compares in constant time.
    if !signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok()) {
        return Err(StripeWebhookError::Signature);
    }
    if now.duration_since(sent_at).abs() > WEBHOOK_TOLERANCE {
        return Err(StripeWebhookError::Time);
    }
    Ok(())
}

/// Returns the bytes of a signature; `None` if the text is no signature in hexadecimal digits.
fn from_hex(text: &str) -> Option<[u8; SIGNATURE_LENGTH]> {
    let mut bytes = [0; SIGNATURE_LENGTH];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
}
