//! Checks that limited items are not oversold.

use dabba_domain::{RestaurantId, text::Slug};
use dabba_store::{AuditStore, OrderStore, StoredStock};

use super::{Audit, AuditError, Finding, FindingCode, PAGE, is_full, whole};

impl<S: OrderStore + AuditStore + ?Sized> Audit<'_, S> {
    /// Audits the stock of all limited items.
    pub(super) async fn walk_stock(&mut self) -> Result<(), AuditError> {
        let mut after: Option<(RestaurantId, Slug)> = None;
        loop {
            let last = after.as_ref().map(|(restaurant_id, item)| (*restaurant_id, item));
            let page = whole("stock", self.store.all_stock(last, PAGE).await)?;
            for StoredStock { restaurant_id, item, remaining } in &page {
                self.report.items += 1;
                if *remaining < 0 {
                    let text = format!("the stock of {item} at restaurant {restaurant_id} is {remaining}");
                    self.report.add(Finding::of_no_order(FindingCode::Oversold, text));
                }
            }
            if !is_full(&page) {
                return Ok(());
            }
            after = page.last().map(|last| (last.restaurant_id, last.item.clone()));
        }
    }
}
