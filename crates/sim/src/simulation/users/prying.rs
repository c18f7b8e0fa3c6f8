//! Reads of orders, and attempts to read the orders of others (I9).

use dabba_domain::order::Order;
use dabba_engine::{Error, Principal};
use dabba_store::{OrderPage, PageSize};

use super::{User, is_retryable};
use crate::simulation::{coverage::Mark, problem::Problem};

impl User {
    /// Lists the orders of a random user, and tries to read an order of others.
    pub(in crate::simulation) async fn look_around(&mut self) {
        match self.below(3) {
            0 => self.list_as_customer().await,
            1 => self.list_as_staff().await,
            _ => self.read_order_of_others().await,
        }
    }

    async fn list_as_customer(&mut self) {
        let customer = self.random_customer();
        let server = self.server();
        let listing = server.engine.orders.own_orders(&customer, Vec::new(), None, PageSize::DEFAULT);
        let page = self.ask(&server, listing).await;
        self.check_page(&customer, page, |order| order.details.customer_id == customer.account_id);
    }

    async fn list_as_staff(&mut self) {
        let place = self.below(self.world.places.len());
        let of_others = (place + 1) % self.world.places.len();
        let (id, staff) = (self.world.places[place].id, self.world.places[place].staff);
        let other_id = self.world.places[of_others].id;
        let server = self.server();
        let listing = server.engine.orders.restaurant_orders(&staff, id, Vec::new(), None, PageSize::DEFAULT);
        let page = self.ask(&server, listing).await;
        self.check_page(&staff, page, |order| order.details.restaurant_id == id);
        let listing =
            server.engine.orders.restaurant_orders(&staff, other_id, Vec::new(), None, PageSize::DEFAULT);
        let refused = self.ask(&server, listing).await.map(drop);
        self.check_refusal(&staff, refused);
    }

    async fn read_order_of_others(&mut self) {
        let customer = self.random_customer();
        let Some((id, _)) = self.random_order(false) else { return };
        let Some(order) = self.read_order(id).await else { return };
        let is_own = order.details.customer_id == customer.account_id;
        let server = self.server();
        let ledger = self.ask(&server, server.engine.orders.ledger(&customer, id)).await.map(drop);
        self.check_refusal(&customer, ledger);
        let read = self.ask(&server, server.engine.orders.order(&customer, id)).await.map(drop);
        if !is_own {
            self.check_refusal(&customer, read);
        }
    }

    /// Verifies that a list contains only orders that its reader may see.
    fn check_page(&self, who: &Principal, page: Result<OrderPage, Error>, may_see: impl Fn(&Order) -> bool) {
        match page {
            Ok(page) => {
                if page.incomplete {
                    self.world.chaos.coverage.pass(Mark::ListIncomplete);
                }
                if let Some(order) = page.orders.iter().find(|order| !may_see(order)) {
                    let (who, id) = (who.account_id, order.id);
                    let text = format!("{who} sees order {id} of others in a list");
                    self.world.report_problem(Problem::violating("I9", text));
                }
            }
            Err(error) if is_retryable(&error) => {}
            Err(error) => self.world.report_problem(format!("a list of orders failed: {error}")),
        }
    }

    /// Verifies that a user was refused.
    fn check_refusal(&self, who: &Principal, read: Result<(), Error>) {
        match read {
            Ok(()) => {
                let text = format!("{} reads an order of others", who.account_id);
                self.world.report_problem(Problem::violating("I9", text));
            }
            Err(Error::NotFound(_) | Error::Forbidden(_)) => {
                self.world.chaos.coverage.pass(Mark::AccessRefused);
            }
            Err(error) if is_retryable(&error) => {}
            Err(error) => self.world.report_problem(format!("a read failed: {error}")),
        }
    }
}
