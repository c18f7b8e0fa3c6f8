//! What Stripe reports of its own accord.
//!
//! An event is signed with the secret of the webhook endpoint (`whsec_…`), together with the time of its
//! sending. Stripe sends events more than once and in any order; the domain takes each report for what it
//! is worth by then. The events that say something are:
//!
//! | event | report |
//! |---|---|
//! | `payment_intent.amount_capturable_updated` | authorized, and how much |
//! | `payment_intent.succeeded` | captured, and how much |
//! | `payment_intent.payment_failed` | declined |
//! | `payment_intent.canceled` | voided |
//! | `refund.created`, `refund.updated`, `refund.failed`, `charge.refund.updated` | refunded when it has succeeded, refused when it has failed or was cancelled; one that Dabba did not make is looked up |
//! | `charge.dispute.created`, `.updated`, `.closed`, `.funds_withdrawn`, `.funds_reinstated` | the dispute is looked up |

use dabba_domain::{Timestamp, order::PaymentReport};
use dabba_engine::{ProviderNotice, ProviderObject};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use sha2::Sha256;

use super::{
    declines,
    objects::{Dispute, ErrorDetail, IntentStatus, PaymentIntent, Refund, RefundStatus},
};

/// The header with an event's signatures and the time of its sending.
pub const SIGNATURE_HEADER: &str = "stripe-signature";

/// How far the time of an event's sending may be from now, in either direction. What was recorded on the
/// way cannot be sent again later.
pub const WEBHOOK_TOLERANCE: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// How many signatures are tried. While a secret is being replaced there are two.
const MAX_SIGNATURES: usize = 8;

/// Length of an HMAC-SHA256, in bytes.
const SIGNATURE_LENGTH: usize = 32;

/// Why an event is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The header has no time, or no signature of a scheme that is known here.
    #[error("the signature header is not understood")]
    Header,
    /// It was not signed with this secret, or was changed on the way.
    #[error("no signature fits")]
    Signature,
    /// It was signed too long ago, or in the future: an old event that is sent again, or a clock is wrong.
    #[error("the signature's time is more than {} minutes from now", WEBHOOK_TOLERANCE.as_mins())]
    Time,
    /// It is signed, and is not an event as this version of the API describes it.
    #[error("the event is not understood")]
    Body,
}

/// Reads an event that Stripe sends to a webhook endpoint with this secret. `signature_header` is the value
/// of [`SIGNATURE_HEADER`], `body` the request's body to the byte; its size is limited by the caller.
///
/// `None` is an event that says nothing about an order: of another type, or about a payment of somebody
/// else who uses the same account. It should be answered with success, or Stripe sends it again for days.
pub fn read_webhook(
    secret: &str,
    signature_header: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<Option<ProviderNotice>, WebhookError> {
    verify(secret, signature_header, body, now)?;
    let event: Event<'_> = serde_json::from_slice(body).map_err(|_| WebhookError::Body)?;
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
            Ok(Some(ProviderNotice::Ask(ProviderObject::Chargeback(id))))
        }
        _ => Ok(None),
    }
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    data: EventData<'a>,
}

/// The object as it was when the event happened.
#[derive(Deserialize)]
struct EventData<'a> {
    #[serde(borrow)]
    object: &'a RawValue,
}

fn parse<T: DeserializeOwned>(object: &RawValue) -> Result<T, WebhookError> {
    serde_json::from_str(object.get()).map_err(|_| WebhookError::Body)
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

/// A refund that Dabba made names the order. Of every other one Stripe has to be asked.
fn of_refund(refund: Refund) -> Option<ProviderNotice> {
    let status = refund.status?;
    let Some((order_id, number)) = refund.metadata.order_id().zip(refund.metadata.refund_number()) else {
        return refund
            .payment_intent
            .is_some()
            .then_some(ProviderNotice::Ask(ProviderObject::Refund(refund.id)));
    };
    let report = match status {
        RefundStatus::Succeeded => PaymentReport::Refunded { number },
        RefundStatus::Failed | RefundStatus::Canceled => {
            PaymentReport::RefundRefused { number, reason: declines::refund_failure(status, &refund) }
        }
        RefundStatus::Pending | RefundStatus::RequiresAction | RefundStatus::Unknown => return None,
    };
    Some(ProviderNotice::Report(order_id, report))
}

/// Checks that an event comes from Stripe and was sent just now. The signature is an HMAC-SHA256 over the
/// time, a dot and the body, in hexadecimal digits, under the name `v1`.
fn verify(secret: &str, header: &str, body: &[u8], now: Timestamp) -> Result<(), WebhookError> {
    let mut time = None;
    let mut signatures = Vec::new();
    for (name, value) in header.split(',').filter_map(|part| part.trim().split_once('=')) {
        match name {
            "t" if time.is_some() => return Err(WebhookError::Header),
            "t" => time = Some(value),
            "v1" if signatures.len() < MAX_SIGNATURES => signatures.extend(from_hex(value)),
            _ => {}
        }
    }
    let time = time.ok_or(WebhookError::Header)?;
    let sent_at = time.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let sent_at = sent_at.ok_or(WebhookError::Header)?;
    if signatures.is_empty() {
        return Err(WebhookError::Header);
    }
    // With an empty secret anybody could sign.
    if secret.is_empty() {
        return Err(WebhookError::Signature);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| WebhookError::Signature)?;
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    // Compares in constant time.
    if !signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok()) {
        return Err(WebhookError::Signature);
    }
    if now.duration_since(sent_at).abs() > WEBHOOK_TOLERANCE {
        return Err(WebhookError::Time);
    }
    Ok(())
}

fn from_hex(text: &str) -> Option<[u8; SIGNATURE_LENGTH]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * SIGNATURE_LENGTH {
        return None;
    }
    let mut bytes = [0; SIGNATURE_LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = char::from(*digit).to_digit(16)?;
            *byte = (*byte << 4) | u8::try_from(value).ok()?;
        }
    }
    Some(bytes)
}
