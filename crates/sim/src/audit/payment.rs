//! The replay of an order's payment from its events.

use std::num::NonZeroU32;

use dabba_domain::order::{
    Event, OrderDetails, OrderStatus, PaymentMethod, PaymentReference, PaymentStatus, RecordedEvent, Refund,
    RefundFailureReason, RefundState, RefundStatus,
};

use super::{FindingCode, Findings};

/// The payment that the auditor computes from the events.
pub(super) struct Payment {
    method: PaymentMethod,
    /// Whether this is a card payment with a total of zero, for which no provider is called.
    is_of_nothing: bool,
    /// Number of authorizations.
    authorizations: u32,
    pub(super) reference: Option<PaymentReference>,
    /// Status of the payment until money is captured.
    uncollected: PaymentStatus,
    /// Number of captures.
    captures: u32,
    early_capture: Option<u32>,
    pub(super) captured: i128,
    pub(super) refunded: i128,
    pub(super) refunds: Vec<RefundState>,
}

impl Payment {
    pub(super) fn new(details: &OrderDetails) -> Self {
        let is_of_nothing =
            details.payment_method == PaymentMethod::Card && details.amounts.total.minor() == 0;
        Self {
            method: details.payment_method,
            is_of_nothing,
            authorizations: 0,
            reference: None,
            uncollected: if is_of_nothing { PaymentStatus::Captured } else { PaymentStatus::Pending },
            captures: 0,
            early_capture: None,
            captured: 0,
            refunded: 0,
            refunds: Vec::new(),
        }
    }

    /// Returns the status of a card payment. A payment in cash is also voided by an early end, which this
    /// function does not know.
    pub(super) fn status(&self) -> PaymentStatus {
        if self.captures == 0 {
            self.uncollected
        } else if self.refunded == 0 {
            PaymentStatus::Captured // Also with a total of zero.
        } else if self.refunded < self.captured {
            PaymentStatus::PartiallyRefunded
        } else {
            PaymentStatus::Refunded
        }
    }

    /// Checks an event against the state of the payment and applies it. `order` is the status of the order
    /// before the event.
    pub(super) fn step(&mut self, recorded: &RecordedEvent, order: OrderStatus, findings: &mut Findings) {
        let RecordedEvent { version, event, .. } = recorded;
        if self.method == PaymentMethod::Card {
            self.judge(*version, event, order, findings);
        }
        match event {
            Event::PaymentAuthorized { reference } => {
                self.authorizations += 1;
                self.uncollected = PaymentStatus::Authorized;
                self.reference = Some(reference.clone());
            }
            Event::PaymentFailed { .. } => self.uncollected = PaymentStatus::Failed,
            Event::PaymentVoided => self.uncollected = PaymentStatus::Voided,
            Event::PaymentCaptured { amount } => {
                self.captures += 1;
                self.captured = amount.minor().into();
                if self.method == PaymentMethod::Cash && order != OrderStatus::Delivered {
                    self.early_capture.get_or_insert(*version);
                }
            }
            Event::RefundRequested(refund) | Event::ChargebackOpened(refund) => {
                self.add(*version, refund, RefundStatus::Pending, findings);
            }
            Event::RefundFailed { number, reason } => {
                let is_known = self.conclude(*number, None, RefundStatus::Failed);
                self.set_failure(*number, *reason);
                check_known(is_known, *version, "refused", *number, findings);
            }
            Event::RefundReversed { number, reason } => {
                self.reverse(*version, *number, Some(*reason), findings);
            }
            Event::ChargebackLost { number } => {
                let is_known = self.conclude(*number, None, RefundStatus::Paid);
                check_known(is_known, *version, "paid", *number, findings);
                let lost = self.refunds.iter().find(|state| state.refund.number == *number);
                self.refunded += lost.map_or(0, |state| i128::from(state.refund.amount.minor()));
            }
            Event::ChargebackWon { number } => match self.status_of(*number) {
                Some(RefundStatus::Pending) => {
                    self.conclude(*number, None, RefundStatus::Reversed);
                }
                _ => self.reverse(*version, *number, None, findings),
            },
            Event::Refunded(refund) if refund.external.is_some() => {
                self.refunded += i128::from(refund.amount.minor());
                self.add(*version, refund, RefundStatus::Paid, findings);
            }
            Event::Refunded(refund) => {
                self.refunded += i128::from(refund.amount.minor());
                self.pay(*version, refund, findings);
            }
            _ => {}
        }
        self.refunded = self.counted();
    }

    /// Returns the refunded amount that the order records: all paid refunds. If some of them happened without
    /// Dabba, the amount is at most the captured amount.
    fn counted(&self) -> i128 {
        if self.refunds.iter().all(|state| state.refund.external.is_none()) {
            return self.refunded;
        }
        let paid = self.refunds.iter().filter(|state| state.status == RefundStatus::Paid);
        paid.map(|state| i128::from(state.refund.amount.minor())).sum::<i128>().min(self.captured)
    }

    /// Reports an event that the state of a card payment does not allow.
    fn judge(&self, version: u32, event: &Event, order: OrderStatus, findings: &mut Findings) {
        let status = self.status();
        let is_open = match event {
            Event::PaymentAuthorized { .. }
            | Event::PaymentCaptured { .. }
            | Event::PaymentFailed { .. }
            | Event::PaymentVoided
                if self.is_of_nothing =>
            {
                false
            }
            Event::PaymentAuthorized { .. } if self.authorizations > 0 => {
                let text = format!("event {version} authorizes the money again");
                return findings.add(FindingCode::AuthorizedTwice, text);
            }
            Event::Confirmed { .. } if status != PaymentStatus::Authorized && !self.is_of_nothing => {
                let text = format!("event {version} confirms the order while its payment was {status}");
                return findings.add(FindingCode::ConfirmedUnpaid, text);
            }
            Event::PaymentCaptured { .. } if self.captures == 0 && status != PaymentStatus::Authorized => {
                let text = format!("event {version} captures the money while the payment was {status}");
                return findings.add(FindingCode::CapturedUnauthorized, text);
            }
            // The authorization of an ended order is voided; in all other cases it fails.
            Event::PaymentFailed { .. } => {
                status == PaymentStatus::Pending
                    || (status == PaymentStatus::Authorized && order != OrderStatus::Cancelled)
            }
            Event::PaymentVoided => {
                status == PaymentStatus::Authorized
                    || (status == PaymentStatus::Pending && order == OrderStatus::Cancelled)
            }
            _ => true,
        };
        if !is_open {
            let name = event.name();
            let text =
                format!("event {version} is {name} while the payment was {status} and the order {order}");
            findings.add(FindingCode::IllegalPayment, text);
        }
    }

    /// Adds a new refund.
    fn add(&mut self, version: u32, refund: &Refund, status: RefundStatus, findings: &mut Findings) {
        let (number, expected) = (refund.number, self.refunds.len() + 1);
        // Older refunds in cash have no numbers. Each of them is read as number 1.
        let is_unnumbered =
            self.method == PaymentMethod::Cash && number == NonZeroU32::MIN && self.refunds.len() == 1;
        if usize::try_from(number.get()) != Ok(expected) && !is_unnumbered {
            let text = format!("event {version} has refund {number}; the next number is {expected}");
            findings.add(FindingCode::RefundNumber, text);
        }
        if let Some(known) = self.refunds.iter_mut().find(|known| known.refund.number == number) {
            known.status = status;
        } else {
            self.refunds.push(RefundState { status, failure: None, refund: refund.clone() });
        }
    }

    /// Records a paid refund: at once in cash, after a request by card.
    fn pay(&mut self, version: u32, refund: &Refund, findings: &mut Findings) {
        match self.method {
            PaymentMethod::Cash => self.add(version, refund, RefundStatus::Paid, findings),
            PaymentMethod::Card => {
                let is_known = self.conclude(refund.number, Some(refund), RefundStatus::Paid);
                check_known(is_known, version, "paid", refund.number, findings);
                if self.refunds.iter().all(|state| state.refund.number != refund.number) {
                    let (status, refund) = (RefundStatus::Paid, refund.clone());
                    self.refunds.push(RefundState { status, failure: None, refund });
                }
            }
        }
    }

    /// Ends the refund with this number. Returns whether it was pending and, if `refund` is given, equal to
    /// it.
    fn conclude(&mut self, number: NonZeroU32, refund: Option<&Refund>, status: RefundStatus) -> bool {
        let Some(state) = self.refunds.iter_mut().find(|state| state.refund.number == number) else {
            return false;
        };
        let was_waiting = state.status == RefundStatus::Pending;
        state.status = status;
        was_waiting && refund.is_none_or(|refund| *refund == state.refund)
    }

    /// Reverses a paid refund that failed.
    fn reverse(
        &mut self,
        version: u32,
        number: NonZeroU32,
        reason: Option<RefundFailureReason>,
        findings: &mut Findings,
    ) {
        let paid = self.refunds.iter_mut().find(|state| state.refund.number == number);
        let Some(state) = paid.filter(|state| state.status == RefundStatus::Paid) else {
            let text = format!("event {version} reverses refund {number}, which was not paid");
            return findings.add(FindingCode::RefundUnrequested, text);
        };
        (state.status, state.failure) = (RefundStatus::Reversed, reason);
        self.refunded -= i128::from(state.refund.amount.minor());
    }

    fn status_of(&self, number: NonZeroU32) -> Option<RefundStatus> {
        self.refunds.iter().find(|state| state.refund.number == number).map(|state| state.status)
    }

    /// Records the reason why a refund failed.
    fn set_failure(&mut self, number: NonZeroU32, reason: Option<RefundFailureReason>) {
        if let Some(state) = self.refunds.iter_mut().find(|state| state.refund.number == number) {
            state.failure = reason;
        }
    }

    /// Checks the payment after the last event. `ended_early` means that the customer did not get the food.
    pub(super) fn finish(&self, ended_early: bool, findings: &mut Findings) {
        if self.captures > 1 {
            let text = format!("its money was captured {} times", self.captures);
            findings.add(FindingCode::CapturedTwice, text);
        }
        // If the order ended early, only the refund of the money matters.
        if let (Some(version), false) = (self.early_capture, ended_early) {
            let text = format!("event {version} captures the money before the food was handed over");
            findings.add(FindingCode::CapturedEarly, text);
        }
    }
}

fn check_known(is_known: bool, version: u32, what: &str, number: NonZeroU32, findings: &mut Findings) {
    if !is_known {
        let text =
            format!("event {version} says that refund {number} is {what}, but this refund was not pending");
        findings.add(FindingCode::RefundUnrequested, text);
    }
}
