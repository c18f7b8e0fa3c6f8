//! Claims of requests on idempotency keys.

use dabba_domain::AccountId;
use dabba_store::{Claim, ClaimRecord, Fingerprint, IdempotencyKey, SameRequest};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::Error;

/// Returns whether a stored record belongs to the same request as the claim.
pub(crate) fn is_same_request(record: &ClaimRecord, claim: Option<&Claim>) -> Result<bool, Error> {
    let Some(claim) = claim else { return Ok(false) };
    match record.is_of(claim.fingerprint) {
        SameRequest::Yes => Ok(true),
        SameRequest::No => Ok(false),
        SameRequest::Unknown => Err(Error::WrittenByNewer),
    }
}

/// Returns the claim of a request on its idempotency key. The fingerprint is computed from the parsed request, so white
/// space and the order of JSON members do not matter.
pub(crate) fn claim(
    account_id: AccountId,
    key: IdempotencyKey,
    request: &impl Serialize,
) -> Result<Claim, Error> {
    let canonical = serde_json::to_vec(request).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Claim { account_id, key, fingerprint: Fingerprint(Sha256::digest(&canonical).into()) })
}

#[cfg(test)]
mod tests {
    use dabba_domain::{
        Role, Timestamp,
        menu::MenuDocument,
        order::{CancelReason, Command, OrderRequest, RefundReason, RefundRequest, RejectReason},
        restaurant::SettingsDocument,
        text::{Name, Note, Slug},
    };
    use dabba_store::{WebhookContentType, WebhookPayload};

    use super::*;
    use crate::{ReplayFrom, WebhookPatch, WebhookRequest};

    /// Proves that the fingerprints of requests are stable. During a rolling upgrade, a retry may reach a server of a
    /// newer version, so a request must keep the fingerprint that it had before. A new member of a request is not
    /// serialized when it is absent; otherwise `dabba_store::encoding::FINGERPRINT_VERSION` must be increased, and the
    /// earlier rule kept for comparison.
    #[test]
    fn the_fingerprints_of_requests_do_not_change() {
        fn json(request: &impl Serialize) -> String {
            serde_json::to_string(request).unwrap()
        }
        let order: OrderRequest = serde_json::from_str(
            r#"{"lines":[{"item":"naan","quantity":1}],"fulfilment":{"type":"collection"},"payment_method":"cash"}"#,
        )
        .unwrap();
        let settings: SettingsDocument =
            serde_json::from_str(r#"{"name":"Naan Stop","currency":"GBP","time_zone":"Europe/London"}"#)
                .unwrap();
        let menu: MenuDocument = serde_json::from_str(r#"{"categories":[]}"#).unwrap();
        let commands = [
            Command::Accept { preparation_minutes: 5 },
            Command::reject(RejectReason::Other),
            Command::MarkReady,
            Command::assign(
                dabba_domain::ids::Id::from_uuid("019aaaaa-aaaa-7bbb-8ccc-dddddddddddd".parse().unwrap())
                    .unwrap(),
            ),
            Command::PickUp,
            Command::Deliver { reason: None, note: None },
            Command::cancel(CancelReason::Other),
            Command::Refund(RefundRequest::new(None, RefundReason::Other)),
        ];
        let until: Option<Timestamp> = Some("2026-11-28T12:00:00Z".parse().unwrap());
        let reason = Note::new("moved").unwrap();
        let hook = WebhookRequest {
            restaurant_id: None,
            url: "https://hooks.example.com/".into(),
            types: None,
            payload: WebhookPayload::Event,
            content_type: WebhookContentType::Json,
            concurrency: 8,
            batch: 1,
        };
        let patch = WebhookPatch { types: Some(None), batch: Some(2), ..WebhookPatch::default() };
        let others = [
            json(&("place", &order)),
            json(&("create_restaurant", &settings, &menu)),
            json(&("pause", &until)),
            json(&"resume"),
            json(&("close", &reason)),
            json(&"reopen"),
            json(&("adjust_stock", &Slug::new("naan").unwrap(), -1)),
            json(&("register", "ada@example.org", Name::new("Ada").unwrap(), Role::Customer)),
            json(&("create_webhook_endpoint", &hook)),
            json(&("change_webhook_endpoint", &patch)),
            json(&("replay_webhook_endpoint", &ReplayFrom { after: None, since: until })),
        ];
        insta::assert_snapshot!(
            others.into_iter().chain(commands.iter().map(json)).collect::<Vec<_>>().join("\n")
        );
    }
}
