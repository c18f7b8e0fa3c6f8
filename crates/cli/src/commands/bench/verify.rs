//! Whether what was acknowledged is there, once, and everything else is as it must be.

use std::collections::HashSet;

use dabba_domain::OrderId;
use dabba_engine::{Clock as _, SystemClock};
use dabba_sim::{AuditOptions, audit};
use dabba_store::PageSize;
use serde::Serialize;

use crate::{databases::Databases, failure::Failure, output, settings::Settings};

/// What was found to be there.
#[derive(Serialize)]
pub(super) struct Verified {
    acknowledged: usize,
    unsure: u64,
    audited: u64,
}

impl Verified {
    pub(super) fn tell(&self, json: bool) -> Result<(), Failure> {
        if json {
            return output::json(self);
        }
        let Self { acknowledged, unsure, audited } = self;
        output::line(format_args!(
            "verified: {acknowledged} acknowledged orders are there after the server was killed, {unsure} requests \
             were not acknowledged, and the audit of {audited} orders found nothing"
        ))
    }
}

/// Asks the auditor, and looks for every acknowledged order. `unsure` requests may have placed one or not.
pub(super) async fn verify(
    settings: &Settings,
    acknowledged: &[String],
    unsure: u64,
) -> Result<Verified, Failure> {
    let parsed: Result<Vec<OrderId>, _> = acknowledged.iter().map(|id| id.parse()).collect();
    let ids = parsed.map_err(|_| Failure::new("the server acknowledged an order with an id that is none"))?;
    let distinct: HashSet<OrderId> = ids.iter().copied().collect();
    if distinct.len() != ids.len() {
        return Err(Failure::new("two requests with different keys were answered with the same order"));
    }
    let store = Databases::from_settings(settings)?.open(settings).await?.store;
    let report = audit(&*store, None, &AuditOptions::at(SystemClock.now())).await;
    let report = report.map_err(Failure::during("the audit could not look at everything"))?;
    let mut missing = 0;
    for page in ids.chunks(PageSize::MAX as usize) {
        let found = store.orders(page).await.map_err(Failure::during("looking for orders"))?;
        missing += page.len() - found.len();
    }
    store.close().await;
    if missing > 0 {
        return Err(Failure::new(format!("{missing} of {} acknowledged orders are not there", ids.len())));
    }
    if !report.is_clean() {
        return Err(Failure::new(format!("{report}\nthe audit found breaches: {}", report.breaches)));
    }
    Ok(Verified { acknowledged: ids.len(), unsure, audited: report.orders })
}
