//! Verification after a load: every acknowledged order exists exactly once, and the audit finds no breach.

use std::collections::HashSet;

use dabba_domain::OrderId;
use dabba_engine::{Clock as _, SystemClock};
use dabba_sim::{AuditOptions, Client, audit};
use dabba_store::{PageSize, Store};
use serde::Serialize;

use crate::{databases::Databases, failure::Failure, output, settings::Settings};

/// Result of the verification.
#[derive(Serialize)]
pub(super) struct Verified {
    acknowledged: usize,
    unsure: u64,
    /// Number of orders that the auditor read; omitted without an audit.
    #[serde(skip_serializing_if = "Option::is_none")]
    audited: Option<u64>,
    /// Whether an audit was requested.
    #[serde(skip)]
    is_audited: bool,
    was_killed: bool,
}

impl Verified {
    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return output::json(self);
        }
        let Self { acknowledged, unsure, audited, is_audited, was_killed } = self;
        let after = if *was_killed { " after the server was killed" } else { "" };
        let audit = match audited {
            Some(orders) => format!("the audit of {orders} orders found nothing"),
            None if *is_audited => {
                "no audit was made, since the running server uses the embedded database".to_owned()
            }
            None => "no audit was made".to_owned(),
        };
        let text = format!(
            "verified: {acknowledged} acknowledged orders exist{after}, {unsure} requests were not \
             acknowledged, and {audit}"
        );
        output::line(output::wrapped("", &text))
    }
}

/// The orders that must exist.
pub(super) struct Expected<'a> {
    /// Ids of the acknowledged orders.
    pub(super) acknowledged: &'a [String],
    /// Number of requests that may or may not have placed an order.
    pub(super) unsure: u64,
    /// Whether the database is audited, too.
    pub(super) is_audited: bool,
}

impl Expected<'_> {
    /// Verifies in the store that every acknowledged order exists.
    pub(super) async fn verify_in_store(&self, settings: &Settings) -> Result<Verified, Failure> {
        let ids = self.distinct()?;
        let ids: Vec<OrderId> = ids.into_iter().collect();
        let store = Databases::from_settings(settings)?.open(settings).await?.store;
        let audited = self.audited(&*store).await;
        let mut missing = 0;
        for page in ids.chunks(PageSize::MAX as usize) {
            let found =
                store.orders(page).await.map_err(Failure::during("reading the acknowledged orders"))?;
            missing += page.len() - found.len();
        }
        store.close().await;
        self.require_none(missing)?;
        Ok(self.verified(audited?, true))
    }

    /// Lists the orders of these customers, who had none before. Each acknowledged order must be listed once; other
    /// orders must not outnumber the requests with unknown outcome. Audits the database, too, if this process can open
    /// it.
    pub(super) async fn verify_on_server(
        &self,
        client: &Client,
        customers: &[String],
        settings: &Settings,
    ) -> Result<Verified, Failure> {
        let mut missing = self.distinct()?;
        let mut others = 0;
        for token in customers {
            let customer = client.with_token(token);
            let mut cursor = String::new();
            loop {
                let path = format!("/v1/orders?limit={}{cursor}", PageSize::MAX);
                let page = customer.get(&path).send().await.map_err(Failure::during("listing orders"))?.body;
                for order in page["orders"].as_array().into_iter().flatten() {
                    let id = order["id"].as_str().and_then(|id| id.parse().ok());
                    others += u64::from(!id.is_some_and(|id: OrderId| missing.remove(&id)));
                }
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
        }
        self.require_none(missing.len())?;
        if others > self.unsure {
            let Self { unsure, .. } = self;
            return Err(Failure::new(format!(
                "there are {others} orders that were not acknowledged, and only {unsure} requests that may have placed one"
            )));
        }
        let databases = Databases::from_settings(settings)?;
        if matches!(databases, Databases::Embedded(_)) || !self.is_audited {
            return Ok(self.verified(None, false));
        }
        let store = databases.open(settings).await?.store;
        let audited = self.audited(&*store).await;
        store.close().await;
        Ok(self.verified(audited?, false))
    }

    fn distinct(&self) -> Result<HashSet<OrderId>, Failure> {
        let parsed: Result<HashSet<OrderId>, _> = self.acknowledged.iter().map(|id| id.parse()).collect();
        let ids = parsed.map_err(|_| Failure::new("the server acknowledged an order with a malformed id"))?;
        if ids.len() == self.acknowledged.len() {
            Ok(ids)
        } else {
            Err(Failure::new("two requests with different keys were answered with the same order"))
        }
    }

    fn require_none(&self, missing: usize) -> Result<(), Failure> {
        if missing == 0 {
            return Ok(());
        }
        let all = self.acknowledged.len();
        Err(Failure::new(format!("{missing} of {all} acknowledged orders are missing")))
    }

    fn verified(&self, audited: Option<u64>, was_killed: bool) -> Verified {
        let Self { acknowledged, unsure, is_audited } = *self;
        Verified { acknowledged: acknowledged.len(), unsure, audited, is_audited, was_killed }
    }

    /// Audits the store. Returns the number of orders that the auditor read; `None` without an audit. Fails if the
    /// audit finds a breach.
    async fn audited(&self, store: &dyn Store) -> Result<Option<u64>, Failure> {
        if !self.is_audited {
            return Ok(None);
        }
        let report = audit(store, None, &AuditOptions::new(SystemClock.now())).await;
        let report = report.map_err(Failure::during("the audit could not read everything"))?;
        if report.is_clean() {
            Ok(Some(report.orders))
        } else {
            Err(Failure::new(format!("{report}\nthe audit found breaches: {}", report.breaches)))
        }
    }
}
