//! Payment tasks, which make the payment provider move money.
//!
//! Each task is one step of one order. The provider is called outside any transaction; its answer is written in the
//! transaction that completes the task. A task may be executed twice, and its call may be made twice: the provider
//! recognizes the step by its idempotency key.
//!
//! | state of the order | action |
//! |---|---|
//! | does not need the step any more | the task is completed without a call |
//! | ended before its payment was first requested | the payment is recorded as void, without a call |
//! | ended while its payment may have been requested | the payment is requested again to learn its state, and then voided |
//! | ends while a call is in flight | the answer is recorded, and a further task voids or refunds the payment |

use std::time::Duration;

use dabba_domain::{
    Timestamp,
    order::{Decision, Order, OrderStatus, PaymentReport, PaymentStatus, Rejection, settle},
    restaurant::RestaurantSettings,
    task::{Task, TaskKind},
};
use dabba_store::{Backoff, ClaimedTask};
use tokio::time::{Instant, timeout};

use super::{BreakerState, Gateway, GatewayAnswer, GatewayError, Payment, Payments, Step};
use crate::{
    Error,
    clock::after,
    metrics::{CallOutcome, StepLabel},
    order_writer::{Outcome, Progress, complete, complete_unchanged, order_of},
};

/// Next action of a task, given the state of its order.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Nothing.
    Nothing,
    /// Record this report without a call.
    Record(PaymentReport),
    /// Call the provider for this step.
    Call(Step),
}

/// Returns the next action of a task. `is_first` means that the task was never executed before, so that the provider
/// was never called for it.
fn next(task: &Task, order: &Order, is_first: bool) -> Next {
    let has_ended = order.status == OrderStatus::Cancelled;
    match (task, order.payment_status) {
        (Task::AuthorizePayment { .. }, PaymentStatus::Pending) if has_ended && is_first => {
            Next::Record(PaymentReport::NeverRequested)
        }
        (Task::AuthorizePayment { .. }, PaymentStatus::Pending) => Next::Call(Step::Authorize),
        (Task::CapturePayment, PaymentStatus::Authorized) if !has_ended => Next::Call(Step::Capture),
        (Task::VoidPayment, PaymentStatus::Authorized) if has_ended => Next::Call(Step::Void),
        (Task::RefundPayment { number }, _) => match order.pending_refund(*number) {
            Some(refund) => Next::Call(Step::Refund(*number, refund.amount)),
            None => Next::Nothing,
        },
        _ => Next::Nothing,
    }
}

/// Returns the decision caused by a report. A rejection is a defect.
pub(super) fn settled(
    order: &Order,
    report: &PaymentReport,
    settings: &RestaurantSettings,
    now: Timestamp,
) -> Result<Decision, Error> {
    settle(order, report, settings, now).map_err(|rejection| match rejection {
        Rejection::WrittenByNewer => Error::WrittenByNewer,
        rejection => Error::Internal(rejection.to_string()),
    })
}

impl Payments {
    /// Makes the provider execute the task's step, and records its answer.
    pub(crate) async fn execute_step(&self, claimed: &ClaimedTask) -> Result<Outcome<Progress>, Error> {
        let Some(gateway) = &self.gateway else {
            return Err(Error::Internal(
                "this server has no payment provider; configure one to execute payment tasks".into(),
            ));
        };
        let task = claimed.task.content.as_ref().map_err(|error| Error::from(error.clone()))?;
        let order_id = order_of(claimed)?;
        let order = self.store.order(order_id).await?.ok_or(Error::NotFound("order"))?;
        if order.is_written_by_newer {
            // The provider must not be called for an order that this server understands only in part.
            return Err(Error::WrittenByNewer);
        }
        let report = match next(task, &order, claimed.attempts <= 1) {
            Next::Nothing => None,
            Next::Record(report) => Some(report),
            Next::Call(step) => match self.call(gateway, task, &order, step).await {
                Ok(GatewayAnswer::Report(report)) => Some(report),
                Ok(GatewayAnswer::Pending) => {
                    let pause = self.config.pending_interval;
                    return Ok(Outcome::Concluded(Progress::NotBefore(after(self.clock.now(), pause))));
                }
                // While the breaker is not closed, the provider answers no call: the failure is not the task's, and it
                // does not count towards parking.
                Err(GatewayError::Unavailable(_))
                    if gateway.breaker.state(self.clock.now()) != BreakerState::Closed =>
                {
                    let open_duration = self.config.breaker.open_duration;
                    let pause =
                        Backoff { base: open_duration, max: open_duration }.pause(1, self.random.next_u64());
                    return Ok(Outcome::Concluded(Progress::NotBefore(after(self.clock.now(), pause))));
                }
                Err(error) => return Err(error.into()),
            },
        };
        self.unattended
            .conclude(order_id, Some(claimed.lease), |order, settings, now| {
                let Some(report) = &report else { return Ok(complete_unchanged(order)) };
                let decision = settled(order, report, settings, now)?;
                // Without this check, a report without effect would complete the task although its step is still needed.
                if decision.events.is_empty() && matches!(next(task, order, false), Next::Call(_)) {
                    let text = format!("the answer to {} has no effect: {report:?}", task.kind());
                    return Err(GatewayError::Refused(text).into());
                }
                Ok(complete(order, decision))
            })
            .await
    }

    async fn call(
        &self,
        gateway: &Gateway,
        task: &Task,
        order: &Order,
        step: Step,
    ) -> Result<GatewayAnswer, GatewayError> {
        let payment = Payment::new(order, step);
        let limit = self.config.call_timeout;
        let started = Instant::now();
        let call = async {
            let port = &gateway.port;
            let reference = || {
                let missing = || GatewayError::Refused("the order has no payment reference".into());
                order.payment_reference.as_ref().ok_or_else(missing)
            };
            match (step, task) {
                (Step::Authorize, Task::AuthorizePayment { token }) => port.authorize(&payment, token).await,
                (Step::Capture, _) => port.capture(&payment, reference()?).await,
                (Step::Void, _) => port.void(&payment, reference()?).await,
                (Step::Refund(number, _), _) => port.refund(&payment, reference()?, number).await,
                (Step::Authorize, _) => Err(GatewayError::Refused("the task has no payment token".into())),
            }
        };
        let answer = timeout(limit, call)
            .await
            .unwrap_or_else(|_| Err(GatewayError::Unavailable(format!("no answer within {limit:?}"))));
        self.note_call(gateway, task.kind(), &answer, started.elapsed());
        answer
    }

    /// Records the outcome of a call in the breaker and the metrics.
    fn note_call(
        &self,
        gateway: &Gateway,
        kind: TaskKind,
        answer: &Result<GatewayAnswer, GatewayError>,
        took: Duration,
    ) {
        let name = gateway.port.name();
        let outcome = match answer {
            Ok(GatewayAnswer::Report(_)) => CallOutcome::Answered,
            Ok(GatewayAnswer::Pending) => CallOutcome::Pending,
            Err(GatewayError::Unavailable(_)) => CallOutcome::Unavailable,
            Err(GatewayError::Refused(_)) => CallOutcome::Refused,
        };
        self.metrics.count_call(&StepLabel { gateway: name, step: kind.as_str() }, outcome, took);
        let now = self.clock.now();
        if let Err(GatewayError::Unavailable(reason)) = answer {
            if gateway.breaker.failed(now) {
                tracing::warn!(
                    gateway = name,
                    reason,
                    "the circuit breaker opens; no calls to the payment provider for a while"
                );
            }
        } else if gateway.breaker.answered() {
            tracing::info!(gateway = name, "the payment provider answers again");
        }
        self.metrics.show_breaker(name, gateway.breaker.state(now));
    }
}
