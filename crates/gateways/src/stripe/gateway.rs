//! The steps of a payment as calls to Stripe, and the interpretation of the responses.

use async_trait::async_trait;
use dabba_domain::{
    Currency, OrderId,
    order::{
        DeclineReason, PaymentReference, PaymentReport, PaymentToken, RefundFailureReason, RefundNumber,
    },
};
use dabba_engine::{AmountRules, GatewayAnswer, GatewayError, Payment, PaymentGateway, ProviderObject};
use reqwest::StatusCode;

use super::{
    StripeGateway, amounts,
    client::{Answer, Failure, read},
    declines, external,
    objects::{
        IntentStatus, ORDER_ID_KEY, Page, PaymentIntent, REFUND_KEY, StripeRefund, StripeRefundStatus,
    },
};

/// Number of refunds per page: Stripe's maximum.
const REFUND_PAGE_SIZE: usize = 100;

/// Maximum number of pages of a payment's refunds. An order has fewer refunds, because the length of its
/// history is limited.
const MAX_REFUND_PAGES: usize = 10;

/// Stripe's codes for a refund of a disputed payment ("Error codes", docs.stripe.com/error-codes).
const DISPUTED_CODES: [&str; 2] = ["charge_disputed", "refund_disputed_payment"];

/// Stripe's code for a refund that the balance of the account does not cover. An operator can add money, so a
/// retry may help.
const NO_BALANCE_CODE: &str = "balance_insufficient";

/// Text in Stripe's message if an earlier payment used up the payment method. No code and no parameter states
/// this cause.
const USED_UP_TEXT: &str = "may not be used again";

#[async_trait]
impl PaymentGateway for StripeGateway {
    fn name(&self) -> &'static str {
        "stripe"
    }

    fn rules(&self, currency: Currency) -> Option<AmountRules> {
        amounts::rules(currency)
    }

    async fn authorize(
        &self,
        payment: &Payment,
        token: &PaymentToken,
    ) -> Result<GatewayAnswer, GatewayError> {
        let Ok(amount) = amounts::units(payment.amount, payment.currency).inspect_err(|error| {
            tracing::warn!(order_id = %payment.order_id, error, "payment declined without a call to Stripe: Stripe does not accept the amount");
        }) else {
            return Ok(declined(DeclineReason::NotAccepted));
        };
        let amount = amount.to_string();
        let currency = payment.currency.code().to_ascii_lowercase();
        let order_id = payment.order_id.to_string();
        let form = [
            ("amount", amount.as_str()),
            ("currency", &currency),
            ("payment_method", token.as_str()),
            ("payment_method_types[]", "card"),
            ("capture_method", "manual"),
            ("confirm", "true"),
            ("error_on_requires_action", "true"),
            (&metadata_field(ORDER_ID_KEY), &order_id),
        ];
        let Answer { is_replay, outcome } =
            self.client.post("/v1/payment_intents", &form, Some(&payment.key)).await?;
        match outcome {
            Ok(body) => {
                let mut intent: PaymentIntent = read(&body)?;
                if is_replay {
                    intent = self.intent(&intent.id).await?;
                }
                authorized(intent)
            }
            Err(failure) if failure.status == StatusCode::PAYMENT_REQUIRED => {
                self.declined(failure, is_replay).await
            }
            Err(failure) if is_about_token(&failure) => Ok(declined(DeclineReason::InvalidToken)),
            Err(failure) if failure.is_final() => {
                let error = failure.into_error();
                tracing::warn!(order_id = %payment.order_id, %error, "payment declined: Stripe's refusal is final");
                Ok(declined(DeclineReason::NotAccepted))
            }
            Err(failure) => Err(failure.into_error()),
        }
    }

    async fn capture(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
    ) -> Result<GatewayAnswer, GatewayError> {
        self.end_hold(payment, reference, "capture").await
    }

    async fn void(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
    ) -> Result<GatewayAnswer, GatewayError> {
        self.end_hold(payment, reference, "cancel").await
    }

    async fn look_up(
        &self,
        object: &ProviderObject,
    ) -> Result<Option<(OrderId, PaymentReport)>, GatewayError> {
        match object {
            ProviderObject::Refund(id) => {
                let path = format!("/v1/refunds/{id}?expand[]=payment_intent");
                Ok(external::of_refund(self.client.get(&path).await?))
            }
            ProviderObject::Chargeback(id) => {
                let path = format!("/v1/disputes/{id}?expand[]=payment_intent");
                Ok(external::of_dispute(self.client.get(&path).await?))
            }
        }
    }

    async fn refund(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
        number: RefundNumber,
    ) -> Result<GatewayAnswer, GatewayError> {
        if let Some(refund) = self.find_refund(reference, number).await? {
            return refunded(&refund, number);
        }
        let refused = |reason| GatewayAnswer::Report(PaymentReport::RefundRefused { number, reason });
        let Ok(amount) = amounts::units(payment.amount, payment.currency).inspect_err(|error| {
            tracing::warn!(order_id = %payment.order_id, %number, error, "refund refused without a call to Stripe: Stripe does not accept the amount");
        }) else {
            return Ok(refused(RefundFailureReason::NotAccepted));
        };
        let amount = amount.to_string();
        let (order_id, number_text) = (payment.order_id.to_string(), number.to_string());
        let form = [
            ("payment_intent", reference.as_str()),
            ("amount", amount.as_str()),
            (&metadata_field(ORDER_ID_KEY), &order_id),
            (&metadata_field(REFUND_KEY), &number_text),
        ];
        let Answer { is_replay, outcome } =
            self.client.post("/v1/refunds", &form, Some(&payment.key)).await?;
        match outcome {
            Ok(body) => {
                let mut refund: StripeRefund = read(&body)?;
                if is_replay {
                    refund = self.client.get(&format!("/v1/refunds/{}", refund.id)).await?;
                }
                refunded(&refund, number)
            }
            Err(failure) if nothing_left(&failure) => Ok(refused(RefundFailureReason::NothingLeft)),
            Err(failure) if DISPUTED_CODES.iter().any(|code| failure.has_code(code)) => {
                Ok(refused(RefundFailureReason::Disputed))
            }
            Err(failure) if failure.is_final() && !failure.has_code(NO_BALANCE_CODE) => {
                let error = failure.into_error();
                tracing::warn!(order_id = %payment.order_id, %number, %error, "refund refused: Stripe's refusal is final");
                Ok(refused(RefundFailureReason::NotAccepted))
            }
            Err(failure) => Err(failure.into_error()),
        }
    }
}

impl StripeGateway {
    async fn intent(&self, reference: &PaymentReference) -> Result<PaymentIntent, GatewayError> {
        self.client.get(&format!("/v1/payment_intents/{reference}")).await
    }

    /// Returns the answer to a declined authorization. If the decline is a stored response, the customer may
    /// have confirmed the payment at Stripe since then, so the intent is read again.
    async fn declined(&self, failure: Failure, is_replay: bool) -> Result<GatewayAnswer, GatewayError> {
        let reason = declines::reason(&failure.error);
        if is_replay && let Some(intent) = failure.error.payment_intent {
            let intent = self.intent(&intent.id).await?;
            let holds_money = matches!(
                intent.status,
                IntentStatus::RequiresCapture | IntentStatus::Processing | IntentStatus::Succeeded
            );
            if holds_money {
                return authorized(intent);
            }
        }
        Ok(declined(reason))
    }

    /// Captures or voids an authorized payment. `action` is the last part of the call's path.
    async fn end_hold(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
        action: &str,
    ) -> Result<GatewayAnswer, GatewayError> {
        let path = format!("/v1/payment_intents/{reference}/{action}");
        let mut answer = self.client.post(&path, &[], Some(&payment.key)).await?;
        if answer.is_replay {
            let intent = self.intent(reference).await?;
            if intent.status != IntentStatus::RequiresCapture {
                return held(intent);
            }
            // The stored response did not carry out the call, and Stripe returns only this response for this
            // key. Stripe captures or cancels an intent only once, also without a key.
            answer = self.client.post(&path, &[], None).await?;
        }
        let mut failure = match answer.outcome {
            Ok(body) => return held(read(&body)?),
            Err(failure) => failure,
        };
        // The usual cause is that the payment has already moved on (`payment_intent_unexpected_state`,
        // `charge_expired_for_capture` and others). The intent's status shows how far.
        let is_about_state = matches!(failure.status, StatusCode::BAD_REQUEST | StatusCode::PAYMENT_REQUIRED);
        if !is_about_state || failure.is_key_reused() || failure.is_unavailable() {
            return Err(failure.into_error());
        }
        let intent = match failure.error.payment_intent.take() {
            Some(intent) => intent,
            None => self.intent(reference).await?,
        };
        if intent.status == IntentStatus::RequiresCapture {
            return Err(failure.into_error());
        }
        held(intent)
    }

    /// Returns the refund of a payment that has this number, if it exists.
    async fn find_refund(
        &self,
        reference: &PaymentReference,
        number: RefundNumber,
    ) -> Result<Option<StripeRefund>, GatewayError> {
        let first = format!("/v1/refunds?payment_intent={reference}&limit={REFUND_PAGE_SIZE}");
        let mut path = first.clone();
        for _ in 0..MAX_REFUND_PAGES {
            let mut page: Page<StripeRefund> = self.client.get(&path).await?;
            let found = page.data.iter().position(|it| it.metadata.refund_number() == Some(number));
            if let Some(place) = found {
                return Ok(Some(page.data.swap_remove(place)));
            }
            match page.data.last() {
                Some(last) if page.has_more => path = format!("{first}&starting_after={}", last.id),
                _ => return Ok(None),
            }
        }
        let text = format!("the payment has more than {} refunds", MAX_REFUND_PAGES * REFUND_PAGE_SIZE);
        Err(GatewayError::Refused(text))
    }
}

/// Returns the name of the form field for a metadata entry.
fn metadata_field(key: &str) -> String {
    format!("metadata[{key}]")
}

/// Returns the answer to an authorization, from the state of its payment intent.
fn authorized(intent: PaymentIntent) -> Result<GatewayAnswer, GatewayError> {
    let reason = match intent.status {
        IntentStatus::RequiresAction => DeclineReason::AuthenticationRequired,
        IntentStatus::RequiresPaymentMethod | IntentStatus::RequiresConfirmation => {
            intent.last_payment_error.as_deref().map_or(DeclineReason::Other, declines::reason)
        }
        _ => return held(intent),
    };
    Ok(declined(reason))
}

/// Returns the answer to a capture or a void, from the state of the payment intent.
fn held(intent: PaymentIntent) -> Result<GatewayAnswer, GatewayError> {
    let reference = intent.id.clone();
    let report = match intent.status {
        IntentStatus::RequiresCapture => intent.authorized(),
        IntentStatus::Processing => return Ok(GatewayAnswer::Pending),
        IntentStatus::Succeeded => intent.captured(),
        // The authorization no longer exists.
        IntentStatus::Canceled
        | IntentStatus::RequiresPaymentMethod
        | IntentStatus::RequiresConfirmation
        | IntentStatus::RequiresAction => PaymentReport::Voided { reference },
        IntentStatus::Unknown => {
            let text = format!("Stripe's payment intent {reference} has an unknown status");
            return Err(GatewayError::Unavailable(text));
        }
    };
    Ok(GatewayAnswer::Report(report))
}

/// Returns the answer to a refund, from the state of the refund. A pending refund counts as refunded: if the
/// customer's bank returns the money later, Stripe reports that by webhook.
fn refunded(refund: &StripeRefund, number: RefundNumber) -> Result<GatewayAnswer, GatewayError> {
    let report = match refund.status {
        Some(StripeRefundStatus::Succeeded | StripeRefundStatus::Pending) => {
            PaymentReport::Refunded { number }
        }
        Some(status @ (StripeRefundStatus::Failed | StripeRefundStatus::Canceled)) => {
            PaymentReport::RefundRefused { number, reason: declines::refund_failure(status, refund) }
        }
        Some(StripeRefundStatus::RequiresAction) => return Ok(GatewayAnswer::Pending),
        Some(StripeRefundStatus::Unknown) | None => {
            let text = format!("Stripe's refund {} has an unknown status", refund.id);
            return Err(GatewayError::Unavailable(text));
        }
    };
    Ok(GatewayAnswer::Report(report))
}

const fn declined(reason: DeclineReason) -> GatewayAnswer {
    GatewayAnswer::Report(PaymentReport::Declined { reason })
}

/// Returns whether Stripe rejects the payment method that the customer's browser or app sent: the payment
/// method does not exist, is not a card, or was used before.
fn is_about_token(failure: &Failure) -> bool {
    let is_used_up = || failure.error.message.as_deref().is_some_and(|text| text.contains(USED_UP_TEXT));
    match failure.status {
        StatusCode::NOT_FOUND => failure.is_about("payment_method"),
        StatusCode::BAD_REQUEST => failure.is_about("payment_method") || is_used_up(),
        _ => false,
    }
}

/// Returns whether the refund exceeds the amount that is left of the payment. No code for this cause exists
/// in every version of the API, so a refusal of the parameter `amount` without a code counts too.
fn nothing_left(failure: &Failure) -> bool {
    failure.status == StatusCode::BAD_REQUEST
        && (failure.has_code("charge_already_refunded")
            || failure.has_code("amount_too_large")
            || failure.is_about("amount") && failure.error.code.is_none())
}
