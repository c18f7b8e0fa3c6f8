//! Paying by card: what is agreed with a payment provider, and what it reports.
//!
//! The provider is told of each step by a task, and what it answers becomes events of the order, through
//! [`settle`]. Answers may come late, twice, or in another order than they were given: what has been
//! recorded is not recorded again, and an order that has ended stays ended.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{
    ChargebackOutcome, Closure, Decision, Event, Order, OrderStatus, PaymentMethod, PaymentStatus,
    PaymentStep, RefundBearer, RefundFailureReason, RefundReason, Rejection, ReviewReason, Task,
    refund::Refund, state::named_variants,
};
use crate::{
    Actor, Amount, Money, Timestamp, limits::MAX_PAYMENT_TEXT_LENGTH, order::RefundNumber,
    restaurant::Settings, text::RawText,
};

/// A text that is not what a payment provider would hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_PAYMENT_TEXT_LENGTH} letters, digits, hyphens and underscores")]
pub struct PaymentTextError;

/// Letters, digits, `-` and `_`: safe in every place where a provider's identifiers go.
fn check(text: &str) -> Result<(), PaymentTextError> {
    let well_formed = (1..=MAX_PAYMENT_TEXT_LENGTH).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if well_formed { Ok(()) } else { Err(PaymentTextError) }
}

macro_rules! payment_text {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// Checks a text.
            pub fn new(text: &str) -> Result<Self, PaymentTextError> {
                check(text).map(|()| Self(text.to_owned()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = RawText::<'de>::deserialize(deserializer)?;
                Self::new(&text).map_err(de::Error::custom)
            }
        }
    };
}

payment_text! {
    /// What the payment provider gave the customer's browser or app in exchange for the card. The card
    /// itself never comes here.
    PaymentToken
}

payment_text! {
    /// What the payment provider calls a payment.
    PaymentReference
}

impl fmt::Debug for PaymentToken {
    /// With it money can be taken, so it is not shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PaymentToken(…)")
    }
}

impl fmt::Debug for PaymentReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl fmt::Display for PaymentReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Why a payment did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeclineReason {
    /// The bank refused, without saying more.
    CardDeclined,
    /// There is not enough money.
    InsufficientFunds,
    /// The card is not valid any more.
    ExpiredCard,
    /// The bank wants the customer to confirm the payment with it, which cannot be done in the background.
    AuthenticationRequired,
    /// The provider does not know what it was to be paid with, or it was used before.
    InvalidToken,
    /// The provider takes it for fraud.
    SuspectedFraud,
    /// The payment was called off at the provider.
    CalledOff,
    /// The provider does not accept the amount, the currency or the request, and never will.
    NotAccepted,
    /// Another reason.
    Other,
}

named_variants!(DeclineReason {
    CardDeclined => "card_declined",
    InsufficientFunds => "insufficient_funds",
    ExpiredCard => "expired_card",
    AuthenticationRequired => "authentication_required",
    InvalidToken => "invalid_token",
    SuspectedFraud => "suspected_fraud",
    CalledOff => "called_off",
    NotAccepted => "not_accepted",
    Other => "other",
});

/// What a payment provider says of an order's payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentReport {
    /// The money is set aside.
    Authorized {
        /// What the provider calls the payment.
        reference: PaymentReference,
    },
    /// It was refused, for good.
    Declined {
        /// Why.
        reason: DeclineReason,
    },
    /// The money has been collected, all of the total.
    Captured {
        /// What the provider calls the payment.
        reference: PaymentReference,
    },
    /// The money that was set aside is free again.
    Voided {
        /// What the provider calls the payment.
        reference: PaymentReference,
    },
    /// The provider was never asked, and will not be.
    NeverRequested,
    /// A refund is on its way to the customer.
    Refunded {
        /// Which of the order's refunds.
        number: RefundNumber,
    },
    /// The payment is authorized for this amount.
    AuthorizedFor {
        /// What the provider calls the payment.
        reference: PaymentReference,
        /// How much.
        money: Money,
    },
    /// Money has been collected: this much.
    CapturedFor {
        /// What the provider calls the payment.
        reference: PaymentReference,
        /// How much.
        money: Money,
    },
    /// Somebody refunded money at the provider.
    RefundedElsewhere {
        /// What the provider calls the payment.
        payment: PaymentReference,
        /// What the provider calls the refund.
        reference: PaymentReference,
        /// How much.
        money: Money,
    },
    /// A refund failed that somebody had made at the provider.
    FailedElsewhere {
        /// What the provider calls the refund.
        reference: PaymentReference,
        /// Why.
        reason: RefundFailureReason,
    },
    /// The customer has their bank take money back.
    Chargeback {
        /// What the provider calls the payment.
        payment: PaymentReference,
        /// What the provider calls the chargeback.
        reference: PaymentReference,
        /// How much.
        money: Money,
        /// How far it is.
        outcome: ChargebackOutcome,
    },
    /// A refund was refused, for good. It may have been reported as made before.
    RefundRefused {
        /// Which of the order's refunds.
        number: RefundNumber,
        /// Why.
        reason: RefundFailureReason,
    },
}

/// What follows from a provider's report. Empty when it says nothing new. `settings` are those of the
/// order's restaurant.
///
/// A report is heard however long the order's history is: money that has moved cannot be refused.
pub fn settle(
    order: &Order,
    report: &PaymentReport,
    settings: &Settings,
    now: Timestamp,
) -> Result<Decision, Rejection> {
    if order.is_newer {
        return Err(Rejection::Newer);
    }
    let mut decision = Decision::unchanged(order);
    if !order.details.needs_provider() {
        return Ok(decision);
    }
    match report {
        PaymentReport::Authorized { reference } => decision.authorized(reference, None, settings, now)?,
        PaymentReport::AuthorizedFor { reference, money } => {
            decision.authorized(reference, Some(*money), settings, now)?;
        }
        PaymentReport::Declined { reason } => decision.declined(*reason, now)?,
        PaymentReport::Captured { reference } => decision.captured(reference, None, settings, now)?,
        PaymentReport::CapturedFor { reference, money } => {
            decision.captured(reference, Some(*money), settings, now)?;
        }
        PaymentReport::RefundedElsewhere { payment, reference, money } => {
            if decision.is_about(payment, settings, now)? {
                decision.refunded_elsewhere(reference, *money, now)?;
            }
        }
        PaymentReport::FailedElsewhere { reference, reason } => {
            decision.failed_elsewhere(reference, *reason, now)?;
        }
        PaymentReport::Chargeback { payment, reference, money, outcome } => {
            if decision.is_about(payment, settings, now)? {
                decision.charged_back(reference, *money, *outcome, now)?;
            }
        }
        PaymentReport::Voided { reference } => decision.voided(Some(reference), now)?,
        PaymentReport::NeverRequested => decision.voided(None, now)?,
        PaymentReport::Refunded { number } => {
            if let Some(refund) = order.pending_refund(*number) {
                decision.record(&Actor::System, now, Event::Refunded(refund.clone()))?;
            }
        }
        PaymentReport::RefundRefused { number, reason } => decision.refund_refused(*number, *reason, now)?,
    }
    Ok(decision)
}

impl Decision {
    /// Whether money that moved without Dabba is of the order's payment. That it moved tells that the payment was
    /// captured, should that report come later.
    fn is_about(
        &mut self,
        payment: &PaymentReference,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<bool, Rejection> {
        self.captured(payment, None, settings, now)?;
        let is_captured = !matches!(
            self.order.payment_status,
            PaymentStatus::Pending
                | PaymentStatus::Authorized
                | PaymentStatus::Failed
                | PaymentStatus::Voided
        );
        Ok(is_captured && self.order.payment_reference.as_ref() == Some(payment))
    }

    /// What of this is not what was agreed.
    fn not_agreed(&self, money: Option<Money>) -> Option<Money> {
        let details = &self.order.details;
        let agreed = Money { amount: details.amounts.total, currency: details.currency };
        money.filter(|money| *money != agreed)
    }

    fn authorized(
        &mut self,
        reference: &PaymentReference,
        money: Option<Money>,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        if !self.order.may_still_be_authorized(reference) {
            return Ok(());
        }
        let event = Event::PaymentAuthorized { reference: reference.clone() };
        self.record(&Actor::System, now, event)?;
        let other = self.not_agreed(money);
        if let Some(money) = other {
            self.differs(PaymentStep::Authorized, money, now)?;
        }
        let details = &self.order.details;
        let is_too_little = other.is_some_and(|money| {
            money.amount_in(details.currency).is_none_or(|amount| amount < details.amounts.total)
        });
        match self.order.status {
            // With less than was agreed, or in another currency, it is not paid for. It expires at its payment
            // deadline, and the payment is voided.
            OrderStatus::Created if is_too_little => {}
            OrderStatus::Created => return self.confirm(settings.acceptance_deadline(), now),
            // The order has ended meanwhile.
            OrderStatus::Cancelled | OrderStatus::Refunded => self.tasks_at(now, [Task::VoidPayment]),
            // The payment before it was let go of when the restaurant had accepted, so the food is owed for.
            _ => self.tasks_at(now, [Task::CapturePayment]),
        }
        Ok(())
    }

    fn declined(&mut self, reason: DeclineReason, now: Timestamp) -> Result<(), Rejection> {
        if self.order.payment_status != PaymentStatus::Pending {
            return Ok(());
        }
        let ends_order = self.order.status == OrderStatus::Created;
        let stock_returned = ends_order && self.return_stock();
        self.record(&Actor::System, now, Event::PaymentFailed { reason, stock_returned })
    }

    /// Without an amount it is what was agreed. Of another currency no amount can be recorded.
    fn captured(
        &mut self,
        reference: &PaymentReference,
        money: Option<Money>,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        // The report that it was authorized may come later, or never.
        self.authorized(reference, None, settings, now)?;
        if self.order.payment_status != PaymentStatus::Authorized {
            return Ok(());
        }
        let other = self.not_agreed(money);
        let amount = match other {
            None => self.order.details.amounts.total,
            Some(money) => money.amount_in(self.order.details.currency).unwrap_or(Amount::ZERO),
        };
        self.record(&Actor::System, now, Event::PaymentCaptured { amount })?;
        if self.order.status == OrderStatus::Cancelled {
            self.give_back(&Actor::System, now)?;
        }
        if let Some(money) = other {
            self.differs(PaymentStep::Captured, money, now)?;
        }
        Ok(())
    }

    /// `None` when there never was a payment at the provider.
    fn voided(&mut self, reference: Option<&PaymentReference>, now: Timestamp) -> Result<(), Rejection> {
        let order = &self.order;
        let is_this = match order.payment_status {
            PaymentStatus::Pending => true,
            PaymentStatus::Authorized => order.payment_reference.as_ref() == reference,
            _ => false,
        };
        if !is_this {
            return Ok(());
        }
        // Without money that is set aside nobody cooks. What is cooked already is eaten, and what becomes of
        // the money is for people to say.
        let ends_order = matches!(order.status, OrderStatus::Created | OrderStatus::Confirmed);
        if ends_order {
            let stock_returned = self.return_stock();
            let reason = DeclineReason::CalledOff;
            return self.record(&Actor::System, now, Event::PaymentFailed { reason, stock_returned });
        }
        if self.order.status != OrderStatus::Cancelled {
            self.tasks_at(now, [Task::Review { reason: ReviewReason::PaymentVoided }]);
        }
        self.record(&Actor::System, now, Event::PaymentVoided)
    }

    /// What has to be done about the money of an order that has just ended early.
    pub(super) fn unwind_payment(&mut self, actor: &Actor, now: Timestamp) -> Result<(), Rejection> {
        match self.order.payment_status {
            PaymentStatus::Authorized => {
                self.tasks_at(now, [Task::VoidPayment]);
                Ok(())
            }
            PaymentStatus::Captured | PaymentStatus::PartiallyRefunded => self.give_back(actor, now),
            // Whoever asks the provider to set the money aside sees that the order has ended.
            PaymentStatus::Pending
            | PaymentStatus::Failed
            | PaymentStatus::Voided
            | PaymentStatus::Refunded => Ok(()),
        }
    }

    /// Refunds the rest of an order that ended early; the bearer of the early end bears the refund.
    fn give_back(&mut self, actor: &Actor, now: Timestamp) -> Result<(), Rejection> {
        let amount = self.order.refundable();
        if amount.is_zero() {
            return Ok(());
        }
        let number = self.order.next_refund_number();
        let (reason, borne_by) = (RefundReason::OrderEnded, self.order.bearer_of_its_end());
        let refund =
            Refund { number, amount, lines: Vec::new(), reason, note: None, borne_by, external: None };
        self.request_refund(actor, refund, now)
    }

    /// Records a refund: as a request to the provider, or as done where there is none.
    pub(super) fn request_refund(
        &mut self,
        actor: &Actor,
        refund: Refund,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        match self.order.details.payment_method {
            PaymentMethod::Cash => self.record(actor, now, Event::Refunded(refund)),
            PaymentMethod::Card => {
                self.tasks_at(now, [Task::RefundPayment { number: refund.number }]);
                self.record(actor, now, Event::RefundRequested(refund))
            }
        }
    }
}

impl Order {
    /// Returns who bears a refund that names no bearer: of an order that ended early the bearer of its end, else
    /// the restaurant.
    pub(super) fn usual_bearer(&self) -> RefundBearer {
        if self.closure.is_none() {
            return RefundBearer::Restaurant;
        }
        // Cancellations once did not record who bears them; the refund that followed did.
        let follows =
            |refund: &&Refund| refund.reason == RefundReason::OrderEnded && refund.external.is_none();
        let followed = self.refunds.first().map(|state| &state.refund).filter(follows);
        followed.map_or_else(|| self.bearer_of_its_end(), |refund| refund.borne_by)
    }

    /// Returns who bears what is refunded because the order ended early.
    fn bearer_of_its_end(&self) -> RefundBearer {
        match self.closure {
            Some(Closure::Cancelled { borne_by, .. }) => borne_by,
            _ => RefundBearer::of_an_early_end(),
        }
    }

    /// Whether a report that this payment was authorized says something new. A payment that was let go of,
    /// or is collected, was authorized before.
    fn may_still_be_authorized(&self, reference: &PaymentReference) -> bool {
        match self.payment_status {
            PaymentStatus::Pending => true,
            // It was given up before the provider was known to have it.
            PaymentStatus::Failed | PaymentStatus::Voided => {
                self.payment_reference.as_ref() != Some(reference)
            }
            PaymentStatus::Authorized
            | PaymentStatus::Captured
            | PaymentStatus::PartiallyRefunded
            | PaymentStatus::Refunded => false,
        }
    }
}
