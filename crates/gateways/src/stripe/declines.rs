//! Translation of Stripe's decline codes to the domain's reasons.
//!
//! Stripe returns a `code`, and a more precise `decline_code` if the bank or Stripe itself declined ("Decline
//! codes", docs.stripe.com/declines/codes). Stripe may add codes at any time.

use dabba_domain::order::{DeclineReason, RefundFailureReason};

use super::objects::{ErrorDetail, StripeRefund, StripeRefundStatus};

/// Returns the reason of a decline. A known decline code takes precedence over the code.
pub(super) fn reason(error: &ErrorDetail) -> DeclineReason {
    let codes = [error.decline_code.as_deref(), error.code.as_deref()];
    codes.into_iter().flatten().find_map(known).unwrap_or(DeclineReason::Other)
}

/// Returns why a refund failed or was cancelled. A known `failure_reason` takes precedence over the status.
pub(super) fn refund_failure(status: StripeRefundStatus, refund: &StripeRefund) -> RefundFailureReason {
    match (refund.failure_reason.as_deref(), status) {
        (Some("lost_or_stolen_card" | "expired_or_canceled_card"), _) => RefundFailureReason::CardClosed,
        (Some("declined"), _) => RefundFailureReason::Declined,
        (Some("insufficient_funds"), _) => RefundFailureReason::InsufficientFunds,
        (Some("charge_for_pending_refund_disputed"), _) => RefundFailureReason::Disputed,
        (Some("merchant_request"), _) | (_, StripeRefundStatus::Canceled) => RefundFailureReason::CalledOff,
        _ => RefundFailureReason::Other,
    }
}

fn known(code: &str) -> Option<DeclineReason> {
    let reason = match code {
        "insufficient_funds" => DeclineReason::InsufficientFunds,
        "expired_card" => DeclineReason::ExpiredCard,
        "authentication_not_handled"
        | "authentication_required"
        | "mobile_device_authentication_required"
        | "offline_pin_required"
        | "online_or_offline_pin_required"
        | "payment_intent_authentication_failure"
        | "requires_action_not_handled" => DeclineReason::AuthenticationRequired,
        // The holder of the card must not learn that the card was reported lost or stolen.
        "fraudulent" | "lost_card" | "merchant_blacklist" | "pickup_card" | "stolen_card" => {
            DeclineReason::SuspectedFraud
        }
        // The bank or the network could not decide.
        "issuer_not_available" | "processing_error" | "reenter_transaction" | "try_again_later" => {
            DeclineReason::Other
        }
        "card_declined"
        | "card_not_supported"
        | "currency_not_supported"
        | "incorrect_address"
        | "incorrect_cvc"
        | "incorrect_number"
        | "incorrect_pin"
        | "incorrect_zip"
        | "invalid_cvc"
        | "invalid_expiry_month"
        | "invalid_expiry_year"
        | "invalid_number"
        | "invalid_pin" => DeclineReason::CardDeclined,
        _ => return None,
    };
    Some(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decline_code_takes_precedence_over_the_code() {
        let rows = [
            (Some("card_declined"), Some("insufficient_funds"), DeclineReason::InsufficientFunds),
            (Some("card_declined"), Some("generic_decline"), DeclineReason::CardDeclined),
            (Some("card_declined"), Some("do_not_honor"), DeclineReason::CardDeclined),
            (Some("card_declined"), Some("a_new_one"), DeclineReason::CardDeclined),
            (Some("card_declined"), Some("fraudulent"), DeclineReason::SuspectedFraud),
            (Some("card_declined"), Some("stolen_card"), DeclineReason::SuspectedFraud),
            (Some("card_declined"), Some("try_again_later"), DeclineReason::Other),
            (Some("card_declined"), None, DeclineReason::CardDeclined),
            (Some("expired_card"), None, DeclineReason::ExpiredCard),
            (Some("incorrect_cvc"), None, DeclineReason::CardDeclined),
            (Some("processing_error"), None, DeclineReason::Other),
            (Some("authentication_required"), None, DeclineReason::AuthenticationRequired),
            (
                Some("card_declined"),
                Some("authentication_not_handled"),
                DeclineReason::AuthenticationRequired,
            ),
            (Some("a_new_one"), None, DeclineReason::Other),
            (None, None, DeclineReason::Other),
        ];
        for (code, decline_code, expected) in rows {
            let text = |code: Option<&str>| code.map(str::to_owned);
            let error =
                ErrorDetail { code: text(code), decline_code: text(decline_code), ..ErrorDetail::default() };
            assert_eq!(reason(&error), expected, "{code:?} {decline_code:?}");
        }
    }
}
