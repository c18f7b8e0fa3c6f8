//! The tasks that have a payment provider move money.
//!
//! Each is one step of one order. The provider is called outside any transaction; what it answers is
//! written together with the completion of the task. A task may be worked twice, and so may its call be
//! made: the provider knows the step by its key.
//!
//! | the order meanwhile | what is done |
//! |---|---|
//! | does not need the step any more | the task is completed without a call |
//! | ended before its payment was ever asked for | the payment is recorded as void, without a call |
//! | ended while its payment may have been asked for | it is asked for again, which tells what became of it, and let go of |
//! | ends while a call is under way | the answer is recorded, and what follows from it is a task again: to void, or to give back |

use std::time::Duration;

use dabba_domain::{
    OrderId, Timestamp,
    order::{Decision, Order, OrderStatus, PaymentReport, PaymentStatus, Rejection, Task, TaskKind, settle},
    restaurant::Settings,
};
use dabba_store::{Backoff, ClaimedTask};
use tokio::time::{Instant, timeout};

use super::{Progress, Verdict, after};
use crate::{
    BreakerState, Engine, Error, GatewayAnswer, GatewayError, Payment, ProviderNotice, ProviderObject,
    metrics::{CallOutcome, StepLabel},
    payments::{Gateway, Step},
};

/// What a task has to do, as its order is.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Nothing.
    Nothing,
    /// To record this.
    Record(PaymentReport),
    /// To call the provider.
    Call(Step),
}

/// What a task has to do for an order. `is_first` says that it was never worked before, so the provider was
/// never called for it.
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

/// What follows from a report. That it cannot follow is a defect.
fn settled(
    order: &Order,
    report: &PaymentReport,
    settings: &Settings,
    now: Timestamp,
) -> Result<Decision, Error> {
    settle(order, report, settings, now).map_err(|rejection| match rejection {
        Rejection::Newer => Error::WrittenByNewer,
        rejection => Error::Internal(rejection.to_string()),
    })
}

impl Engine {
    /// Has the provider do the task's step, and records what it answers.
    pub(super) async fn move_money(&self, claimed: &ClaimedTask) -> Result<Progress, Error> {
        let Some(gateway) = &self.gateway else {
            return Err(Error::Internal("no payment provider is set up here".into()));
        };
        let task = &claimed.task.task;
        let order = self.store.order(claimed.task.order_id).await?.ok_or(Error::NotFound("order"))?;
        if order.is_newer {
            // The provider must not be called for an order that this server understands only in part.
            return Err(Error::WrittenByNewer);
        }
        let report = match next(task, &order, claimed.attempts <= 1) {
            Next::Nothing => None,
            Next::Record(report) => Some(report),
            Next::Call(step) => match self.call(gateway, task, &order, step).await {
                Ok(GatewayAnswer::Report(report)) => Some(report),
                Ok(GatewayAnswer::Pending) => {
                    let pause = self.config.payments.pending_interval;
                    return Ok(Progress::NotBefore(after(self.now(), pause)));
                }
                // Where nobody is answered, it is not the task that fails, and nobody has to see to it.
                Err(GatewayError::Unavailable(_))
                    if gateway.breaker.state(self.now()) != BreakerState::Closed =>
                {
                    let open_for = self.config.payments.breaker.open_for;
                    let pause =
                        Backoff { base: open_for, longest: open_for }.pause(1, self.random.next_u64());
                    return Ok(Progress::NotBefore(after(self.now(), pause)));
                }
                Err(error) => return Err(error.into()),
            },
        };
        self.conclude(claimed.task.order_id, Some(claimed.lease), |order, settings, now| {
            let Some(report) = &report else { return Ok(Verdict::unchanged(order)) };
            let decision = settled(order, report, settings, now)?;
            // What has no effect would otherwise be taken for done.
            if decision.events.is_empty() && matches!(next(task, order, false), Next::Call(_)) {
                let text = format!("{} was answered with {report:?}", task.kind());
                return Err(GatewayError::Refused(text).into());
            }
            Ok(Verdict::Write(Box::new(decision)))
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
        let limit = self.config.payments.call_timeout;
        let started = Instant::now();
        let call = async {
            let port = &gateway.port;
            let reference = || {
                let missing = || GatewayError::Refused("the payment has no reference".into());
                order.payment_reference.as_ref().ok_or_else(missing)
            };
            match (step, task) {
                (Step::Authorize, Task::AuthorizePayment { token }) => port.authorize(&payment, token).await,
                (Step::Capture, _) => port.capture(&payment, reference()?).await,
                (Step::Void, _) => port.void(&payment, reference()?).await,
                (Step::Refund(number, _), _) => port.refund(&payment, reference()?, number).await,
                (Step::Authorize, _) => Err(GatewayError::Refused("there is nothing to pay with".into())),
            }
        };
        let answer = timeout(limit, call)
            .await
            .unwrap_or_else(|_| Err(GatewayError::Unavailable(format!("no answer within {limit:?}"))));
        self.note_call(gateway, task.kind(), &answer, started.elapsed());
        answer
    }

    /// Tells the breaker and the metrics how a call went.
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
        let now = self.now();
        if let Err(GatewayError::Unavailable(reason)) = answer {
            if gateway.breaker.failed(now) {
                tracing::warn!(gateway = name, reason, "the payment provider is left alone for a while");
            }
        } else if gateway.breaker.answered() {
            tracing::info!(gateway = name, "the payment provider answers again");
        }
        self.metrics.show_breaker(name, gateway.breaker.state(now));
    }

    /// Records what a payment provider posted. Where the notice does not name the order, the provider is asked first,
    /// once; what it says then is its present state, however late the notice is. [`Error::Unavailable`] has the
    /// provider post it again. A notice about an order that is not here changes nothing.
    pub async fn record_notice(&self, notice: &ProviderNotice) -> Result<(), Error> {
        let (order_id, report) = match notice {
            ProviderNotice::Report(order_id, report) => (*order_id, report.clone()),
            ProviderNotice::Ask(object) => match self.look_up(object).await? {
                Some(found) => found,
                None => return Ok(()),
            },
        };
        match self.record_payment(order_id, &report).await {
            // The provider's account may serve others as well. To refuse it would have it posted again.
            Err(Error::NotFound(_)) => {
                tracing::info!(%order_id, "a payment was reported of an order that is not here");
                Ok(())
            }
            recorded => recorded,
        }
    }

    async fn look_up(&self, object: &ProviderObject) -> Result<Option<(OrderId, PaymentReport)>, Error> {
        let Some(gateway) = &self.gateway else { return Ok(None) };
        let limit = self.config.payments.call_timeout;
        let found = timeout(limit, gateway.port.look_up(object)).await;
        let found =
            found.unwrap_or_else(|_| Err(GatewayError::Unavailable(format!("no answer within {limit:?}"))));
        found.map_err(|error| {
            tracing::warn!(?object, %error, "a change at the payment provider cannot be looked up");
            Error::Unavailable
        })
    }

    /// Records what a payment provider says of its own accord. What is known already changes nothing.
    pub async fn record_payment(&self, order_id: OrderId, report: &PaymentReport) -> Result<(), Error> {
        let settle = |order: &Order, settings: &Settings, now| {
            settled(order, report, settings, now).map(Box::new).map(Verdict::Write)
        };
        self.conclude(order_id, None, settle).await.map(drop)
    }

    /// How many payment tasks may be in hand at `now`; no limit, when `None`.
    pub(super) fn payment_room(&self, now: Timestamp) -> Option<usize> {
        let Some(gateway) = &self.gateway else { return Some(0) };
        self.metrics.show_breaker(gateway.port.name(), gateway.breaker.state(now));
        gateway.breaker.room(now)
    }
}
