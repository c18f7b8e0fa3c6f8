//! Limits of the data that an audit keeps in memory. Above a limit, the audit reads the data several times.

/// The limits of the data in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Maximum number of orders whose tasks are searched at once, plus one page. Each takes about a hundred
    /// bytes.
    pub(super) waiting: usize,
    /// Maximum number of orders with a key of one customer at one restaurant. Each takes about thirty bytes.
    pub(super) placed: usize,
}

impl Bounds {
    /// Needs a few megabytes.
    pub(super) const DEFAULT: Self = Self { waiting: 50_000, placed: 100_000 };
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Arc, time::Duration};

    use dabba_domain::{OrderId, task::TaskQueue};
    use dabba_store::{
        Commit, CommitOutcome, Store,
        conformance::builders::{World, order_of},
    };
    use tempfile::TempDir;

    use super::*;
    use crate::audit::{Audit, AuditOptions, AuditReport, FindingCode};

    /// Returns a store in which every seventh order was placed under two keys and every fifth order has lost
    /// its task.
    async fn damaged(world: &mut World) -> (Arc<dyn Store>, TempDir, [HashSet<OrderId>; 2]) {
        let directory = tempfile::tempdir().unwrap();
        let store = dabba_testkit::sqlite_in(directory.path())().await;
        let restaurants = [world.restaurant_id(), world.restaurant_id()];
        let customers = [world.account_id(), world.account_id()];
        let (mut twice, mut taskless) = (HashSet::new(), HashSet::new());
        for number in 0..240 {
            let commit = world.place(restaurants[number % 2], customers[usize::from(number % 3 == 0)]);
            let order = order_of(&commit);
            assert_eq!(store.commit(vec![commit]).await.unwrap(), [CommitOutcome::Committed]);
            if number % 7 == 0 {
                let again = world.repeat(&order, order.details.customer_id);
                assert_eq!(store.commit(vec![again]).await.unwrap(), [CommitOutcome::Committed]);
                twice.insert(order.id);
            }
            if number % 5 == 0 {
                taskless.insert(order.id);
            }
        }
        let now = world.in_seconds(600);
        let claimed = store.claim_due_tasks(TaskQueue::Deadlines, now, now + Duration::from_mins(1), 1_000);
        for task in claimed.await.unwrap() {
            let order_id = task.task.subject.order_id().unwrap();
            if taskless.contains(&order_id) {
                let order = store.order(order_id).await.unwrap().unwrap();
                let done = world.repeat(&order, order.details.customer_id);
                let done = Commit { claim: None, completes: Some(task.lease), ..done };
                assert_eq!(store.commit(vec![done]).await.unwrap(), [CommitOutcome::Committed]);
            }
        }
        (store, directory, [twice, taskless])
    }

    async fn audit_within(store: &dyn Store, world: &World, bounds: Bounds) -> AuditReport {
        let options = &AuditOptions::new(world.now());
        let audit = Audit { store, gateway: None, options, bounds, report: AuditReport::default() };
        audit.run().await.unwrap()
    }

    /// Proves that the findings of an audit do not depend on the limits of its memory.
    #[tokio::test]
    async fn the_findings_do_not_depend_on_the_bounds() {
        let mut world = World::new(41);
        let (store, _directory, [twice, taskless]) = damaged(&mut world).await;
        let bounds = [1, 2, 7, 50].map(|most| Bounds { waiting: most, placed: most });
        for bounds in bounds.into_iter().chain([Bounds::DEFAULT]) {
            let report = audit_within(&*store, &world, bounds).await;
            let found = |code| -> Vec<OrderId> {
                let findings = report.findings.iter().filter(|finding| finding.code == code);
                findings.filter_map(|finding| finding.order_id).collect()
            };
            for (code, planted) in [(FindingCode::PlacedTwice, &twice), (FindingCode::TaskMissing, &taskless)]
            {
                let found = found(code);
                assert_eq!(found.len(), planted.len(), "{code}, {bounds:?}: {report}");
                assert_eq!(found.into_iter().collect::<HashSet<_>>(), *planted, "{code}, {bounds:?}");
            }
            assert_eq!(report.counts.len(), 2, "{report}");
            let counts =
                [report.orders, report.tasks, report.keys].map(|count| usize::try_from(count).unwrap());
            assert_eq!(counts, [240, 240 - taskless.len(), 240 + twice.len()]);
        }
    }
}
