//! The reports of the provider, changes at the provider, and the work of staff and admins.

use std::sync::{Arc, PoisonError};

use dabba_domain::{
    Amount, OrderId,
    menu::Availability,
    order::{Command, Order, RefundReason, RefundRequest},
    text::Slug,
};
use dabba_gateways::simulated::wire::Notification;
use dabba_store::{PageSize, StoreError, TaskResolution};

use super::{MAX_ATTEMPTS, User, is_retryable};
use crate::simulation::{coverage::Mark, rest::is_refund_owed, world::menu};

/// Maximum number of refunds of an order after which nobody requests another one as long as calls fail. The provider
/// refuses refunds again and again, for example of an amount that staff have already refunded in the provider's
/// dashboard, until its report about that refund arrives. After the failures, refunds continue: all reports arrive then.
const MAX_REFUNDS: usize = 2;

impl User {
    /// Refunds a payment by hand at the provider, or opens or closes a chargeback.
    pub(in crate::simulation) async fn change_payment_at_provider(&mut self) {
        let ids: Vec<OrderId> = self.world.state().placed.values().copied().collect();
        if ids.is_empty() {
            return;
        }
        let order_id = ids[self.below(ids.len())];
        let now = self.world.now();
        let what = self.below(4);
        let minor = 1 + i64::from(self.below_u32(900));
        let Some(order) = self.read_order(order_id).await else { return };
        let provider = Arc::clone(&self.world.site.provider);
        for payment in provider.payments(order_id) {
            // An order assumes that a capture that it does not know was of the whole total, so other amounts
            // are skipped.
            let is_of_the_total = payment.amount == order.details.amounts.total;
            if !is_of_the_total && order.captured != payment.amount {
                continue;
            }
            let reference = &payment.reference;
            let happened = match what {
                0 => provider.open_chargeback(reference),
                1 => provider.close_chargeback(reference, minor % 2 == 0, now),
                _ => match Amount::from_minor(minor) {
                    Ok(amount) => provider.refund_manually(reference, amount, now),
                    Err(_) => Vec::new(),
                },
            };
            self.queue_reports(happened);
        }
    }

    /// Queues reports of the provider.
    fn queue_reports(&self, happened: Vec<Notification>) {
        let mut reports = self.world.site.reports.lock().unwrap_or_else(PoisonError::into_inner);
        for notification in happened {
            if self.world.chaos.is_delivered_later(&notification, reports.len()) {
                reports.push(notification);
            }
        }
    }

    /// Decides all open chargebacks.
    pub(in crate::simulation) fn decide_chargebacks(&mut self) {
        let now = self.world.now();
        let provider = Arc::clone(&self.world.site.provider);
        let ids: Vec<OrderId> = self.world.state().placed.values().copied().collect();
        for (number, order_id) in ids.into_iter().enumerate() {
            for payment in provider.payments(order_id) {
                self.queue_reports(provider.close_chargeback(&payment.reference, number % 2 == 0, now));
            }
        }
    }

    /// Delivers a random report of the provider. Sometimes the report is delivered again later.
    pub(in crate::simulation) async fn deliver_random_report(&mut self) {
        let count = self.world.site.reports.lock().unwrap_or_else(PoisonError::into_inner).len();
        if count == 0 {
            return;
        }
        let (place, comes_again) = (self.below(count), self.below(4) == 0);
        let report = {
            let mut reports = self.world.site.reports.lock().unwrap_or_else(PoisonError::into_inner);
            if comes_again { reports[place].clone() } else { reports.swap_remove(place) }
        };
        self.report(report).await;
    }

    pub(in crate::simulation) async fn report(&mut self, report: Notification) {
        let order_id = report.order_id;
        let report = report.report.into();
        for attempt in 0..MAX_ATTEMPTS {
            let server = self.server();
            match self.ask(&server, server.engine.payments.record_payment(order_id, &report)).await {
                Err(error) if is_retryable(&error) => {}
                Err(error) => {
                    let problem = format!("a report about order {order_id} failed: {error}");
                    return self.world.report_problem(problem);
                }
                Ok(()) => return,
            }
            self.pause(attempt).await;
        }
        self.world.report_problem(format!("a report about order {order_id} was not accepted"));
    }

    /// Changes a restaurant as its staff: pauses it, or changes its menu.
    pub(in crate::simulation) async fn change_restaurant(&mut self) {
        let place = self.below(self.world.places.len());
        let (id, staff) = (self.world.places[place].id, self.world.places[place].staff);
        let server = self.server();
        let catalogue = &server.engine.catalogue;
        let changed = match self.below(4) {
            0 => self.ask(&server, catalogue.pause(&staff, id, None)).await.map(drop),
            1 => {
                let Ok(item) = Slug::new(self.random_choice(&["dosa", "thali", "tea"])) else { return };
                self.world.state().availability_changes.entry(id).or_default().0 += 1;
                let available = Availability::default();
                // The request runs to its end on the server although its client disconnects, so the client stays.
                let changed = catalogue.set_availability(&staff, id, &item, available, None).await.map(drop);
                self.world.state().availability_changes.entry(id).or_default().1 += 1;
                changed
            }
            2 => {
                let edition = self.below(100);
                self.ask(&server, catalogue.replace_menu(&staff, id, menu(edition), None)).await.map(drop)
            }
            _ => Ok(()),
        };
        if let Err(error) = changed
            && !is_retryable(&error)
        {
            self.world.report_problem(format!("cannot change restaurant {id}: {error}"));
        }
        // The restaurant resumes at once; otherwise nobody could order.
        for attempt in 0..MAX_ATTEMPTS {
            let server = self.server();
            match self.ask(&server, server.engine.catalogue.resume(&staff, id)).await {
                Ok(_) => return,
                Err(error) if is_retryable(&error) => {}
                Err(error) => {
                    return self.world.report_problem(format!("cannot resume restaurant {id}: {error}"));
                }
            }
            self.pause(attempt).await;
        }
        self.world.report_problem(format!("cannot resume restaurant {id}: no response"));
    }

    /// Retries parked tasks as an admin.
    pub(in crate::simulation) async fn retry_tasks_as_admin(&mut self) {
        if let Err(error) = self.retry_parked().await {
            self.world.report_problem(format!("cannot list the parked tasks: {error}"));
        }
    }

    /// Refunds the rest of an order that ended early, as an admin, if a refund of the order was refused or
    /// failed.
    pub(in crate::simulation) async fn refund_rest_if_owed(&mut self, order: &Order) {
        let was_refused = order.refunds.iter().any(|state| !state.status.counts());
        if !is_refund_owed(order) || !was_refused {
            return;
        }
        let chaos = &self.world.chaos;
        if order.refunds.len() >= MAX_REFUNDS && !chaos.is_calm() {
            return chaos.coverage.pass(Mark::RefundsStopped);
        }
        let admin = self.world.admin;
        let request = RefundRequest::new(None, RefundReason::OrderEnded);
        self.send_command(&admin, order.id, Command::Refund(request)).await;
    }

    /// Retries all parked tasks, resolves the tasks for admins, and returns the number of parked tasks.
    pub(in crate::simulation) async fn retry_parked(&mut self) -> Result<usize, StoreError> {
        let now = self.world.now();
        let parked = self.world.store.parked_tasks(None, PageSize::DEFAULT).await?.tasks;
        for task in &parked {
            if task.task.kind.needs_admin() {
                if let Some(order_id) = task.task.subject.order_id()
                    && let Some(order) = self.read_order(order_id).await
                {
                    self.refund_rest_if_owed(&order).await;
                }
                let (at, by, reason) =
                    (now, self.world.admin.account_id, "resolved by the simulation".to_owned());
                self.world.store.resolve_task(task.task.id, &TaskResolution { at, by, reason }).await?;
            } else {
                self.world.store.retry_task(task.task.id, now).await?;
            }
        }
        Ok(parked.len())
    }
}
