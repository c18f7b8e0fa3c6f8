//! Planning of a batch in memory: from its commits to their outcomes and to the writes.
//!
//! The planner applies the commits one after the other to the known state of the database, as the contract demands.
//! Without a [`View`], it assumes that every expectation of a commit holds. In both cases, the plan also lists the
//! conditions that the transaction must verify; see the parent module.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use dabba_domain::{
    Bucket, OrderId, RestaurantId, TaskId, Timestamp,
    menu::{UnavailableItem, later_end},
    order::Version,
};
use dabba_store::encoding::EncodedCommit;
use dabba_store::{
    CatalogueGuard, Claim, ClaimRecord, Commit, CommitOutcome, StockChange, StockShortage, TaskLease,
};

use super::view::{ClaimKey, StockKey, View};

/// Maximum stock: the largest number that a response can contain. More returned stock is dropped.
pub(super) const MAX_REMAINING: i64 = 0xffff_ffff;

/// Writes of a batch, and their conditions. Sorted by row, so that two transactions lock rows in the same order and
/// never wait for each other in a circle.
#[derive(Default)]
pub(super) struct Plan<'b> {
    /// Outcome of each commit, valid if the conditions hold.
    pub(super) outcomes: Vec<CommitOutcome>,
    /// The commits to write, in order; their events and tasks are inserted.
    pub(super) committed: Vec<&'b EncodedCommit>,
    /// Keys that must not be claimed yet.
    pub(super) claims:
        BTreeMap<(dabba_domain::AccountId, RestaurantId, &'b str), (&'b Claim, &'b EncodedCommit)>,
    /// Leases that must hold.
    pub(super) leases: BTreeMap<TaskId, TaskLease>,
    /// Lowest and highest bucket of the writes. The database must hold both, and so all buckets between them.
    pub(super) buckets: Option<(Bucket, Bucket)>,
    /// Orders that must not exist yet, with the last commit on each.
    pub(super) created: BTreeMap<OrderId, &'b EncodedCommit>,
    /// Orders that must be at a version, with the last commit on each.
    pub(super) updated: BTreeMap<OrderId, (Version, &'b EncodedCommit)>,
    /// Orders that must be at a version, and do not change.
    pub(super) unchanged: BTreeMap<OrderId, Version>,
    /// Catalogues that must be at a revision.
    pub(super) guards: BTreeMap<RestaurantId, CatalogueGuard>,
    /// Changes of stock.
    pub(super) stock: BTreeMap<StockKey<'b>, StockEffect>,
    /// Items that become unavailable, each until the latest end that a commit names.
    pub(super) marks: BTreeMap<StockKey<'b>, Option<Timestamp>>,
    /// Restaurants whose marks must change; `None` if no later commit of the batch relies on that.
    pub(super) remarked: Option<BTreeSet<RestaurantId>>,
    /// Stock that must still be as in the view, because a commit is refused for lack of it.
    pub(super) refused_stock: BTreeMap<StockKey<'b>, Option<u32>>,
}

/// Total effect of a batch on the stock of one item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StockEffect {
    /// Change of the stock; negative if the batch takes more than it returns.
    pub(super) delta: i64,
    /// Stock required at the start, so that the stock never becomes negative in between.
    pub(super) needed: i64,
    /// Whether the batch takes stock. Only then must the stock be limited, that is, have a row.
    pub(super) takes: bool,
}

impl StockEffect {
    fn then(self, change: &StockChange) -> Self {
        match change {
            StockChange::Take(draw) => {
                let delta = self.delta - i64::from(draw.quantity);
                Self { delta, needed: self.needed.max(-delta), takes: true }
            }
            StockChange::Return(draw) => Self { delta: self.delta + i64::from(draw.quantity), ..self },
        }
    }
}

/// The planned state of claims, leases and versions after the commits so far.
struct Planner<'b, 'v> {
    view: Option<&'v View<'b>>,
    plan: Plan<'b>,
    claims: HashMap<ClaimKey<'b>, ClaimRecord>,
    versions: HashMap<OrderId, Version>,
    completed: HashSet<TaskId>,
    /// Restaurants whose availability revision has changed in this batch.
    remarked: BTreeSet<RestaurantId>,
}

impl<'b> Plan<'b> {
    /// Plans a batch with a view, or on the assumption that every expectation of the commits holds.
    pub(super) fn new(batch: &'b [EncodedCommit], view: Option<&View<'b>>) -> Self {
        let mut planner = Planner {
            view,
            plan: Self::default(),
            claims: HashMap::new(),
            versions: HashMap::new(),
            completed: HashSet::new(),
            remarked: BTreeSet::new(),
        };
        for encoded in batch {
            let outcome = planner.failed_condition(&encoded.commit);
            if outcome.is_none() {
                planner.apply(encoded);
            }
            planner.plan.outcomes.push(outcome.unwrap_or(CommitOutcome::Committed));
        }
        planner.plan.remarked = view.map(|_| planner.remarked);
        planner.plan
    }

    /// Returns whether every commit is written.
    pub(super) fn commits_all(&self) -> bool {
        self.committed.len() == self.outcomes.len()
    }
}

impl<'b> Planner<'b, '_> {
    /// Returns the outcome of the first condition that does not hold, in the order of the contract.
    fn failed_condition(&mut self, commit: &'b Commit) -> Option<CommitOutcome> {
        let held = self.view.and_then(|view| view.held);
        if held.is_some_and(|held| !held.contains(commit.restaurant_id.bucket())) {
            return Some(CommitOutcome::Moved);
        }
        if let Some(claim) = &commit.claim
            && let Some(record) = self.claim_record((claim.account_id, commit.restaurant_id, &claim.key))
        {
            return Some(record.outcome(claim.fingerprint));
        }
        if commit.completes.is_some_and(|lease| !self.holds_lease(lease)) {
            return Some(CommitOutcome::LeaseLost);
        }
        let current = self.version(commit);
        if current != commit.expected_version {
            return Some(CommitOutcome::VersionConflict { current });
        }
        if commit.catalogue.is_some_and(|guard| !self.holds_guard(commit.restaurant_id, guard)) {
            return Some(CommitOutcome::CatalogueChanged);
        }
        let shortages = self.shortages(commit);
        if shortages.is_empty() { None } else { Some(CommitOutcome::OutOfStock(shortages)) }
    }

    fn claim_record(&self, key: ClaimKey<'b>) -> Option<&ClaimRecord> {
        self.claims.get(&key).or_else(|| self.view?.claims.get(&key))
    }

    fn holds_lease(&self, lease: TaskLease) -> bool {
        !self.completed.contains(&lease.task_id)
            && self.view.is_none_or(|view| view.leases.contains(&(lease.task_id, lease.token)))
    }

    fn version(&self, commit: &Commit) -> Version {
        let known = self.versions.get(&commit.order_id).copied();
        known.unwrap_or_else(|| match self.view {
            Some(view) => view.versions.get(&commit.order_id).copied().unwrap_or(0),
            None => commit.expected_version,
        })
    }

    fn holds_guard(&self, restaurant_id: RestaurantId, guard: CatalogueGuard) -> bool {
        match self.view {
            _ if self.remarked.contains(&restaurant_id) => false,
            Some(view) => view.revisions.get(&restaurant_id) == Some(&guard),
            // Two different guards cannot both hold.
            None => self.plan.guards.get(&restaurant_id).is_none_or(|other| *other == guard),
        }
    }

    /// Returns the items whose stock is too low when the changes are applied one after the other. Each item appears
    /// once, with the stock available before this commit.
    fn shortages(&mut self, commit: &'b Commit) -> Vec<StockShortage> {
        let Some(view) = self.view else { return Vec::new() };
        let mut shortages: Vec<StockShortage> = Vec::new();
        let mut effects: HashMap<StockKey<'b>, StockEffect> = HashMap::new();
        for change in &commit.stock {
            let (StockChange::Take(draw) | StockChange::Return(draw)) = change;
            let key = (commit.restaurant_id, &draw.item);
            let before = self.plan.stock.get(&key).copied().unwrap_or_default();
            let effect = effects.entry(key).or_insert(before);
            *effect = effect.then(change);
            let remaining = view.stock.get(&key).copied();
            let is_short =
                effect.takes && remaining.is_none_or(|remaining| i64::from(remaining) < effect.needed);
            if is_short && !shortages.iter().any(|shortage| shortage.item == draw.item) {
                let available = remaining.map_or(0, |remaining| i64::from(remaining) + before.delta);
                let available = u32::try_from(available.clamp(0, MAX_REMAINING)).unwrap_or(u32::MAX);
                shortages.push(StockShortage { item: draw.item.clone(), available });
                self.plan.refused_stock.insert(key, remaining);
            }
        }
        shortages
    }

    /// Adds the writes and the conditions of a commit whose conditions hold.
    fn apply(&mut self, encoded: &'b EncodedCommit) {
        let commit = &encoded.commit;
        let version = commit.change.as_ref().map_or(commit.expected_version, |change| change.order.version);
        let bucket = commit.restaurant_id.bucket();
        let (lowest, highest) = self.plan.buckets.unwrap_or((bucket, bucket));
        self.plan.buckets = Some((lowest.min(bucket), highest.max(bucket)));
        if let Some(claim) = &commit.claim {
            let record = ClaimRecord::of_order(claim.fingerprint, commit.order_id, version);
            self.claims.insert((claim.account_id, commit.restaurant_id, &claim.key), record);
            let key = (claim.account_id, commit.restaurant_id, claim.key.as_str());
            self.plan.claims.insert(key, (claim, encoded));
        }
        if let Some(lease) = commit.completes {
            self.completed.insert(lease.task_id);
            self.plan.leases.insert(lease.task_id, lease);
        }
        if commit.change.is_some() {
            self.change_order(encoded);
        } else if !self.versions.contains_key(&commit.order_id) {
            self.plan.unchanged.insert(commit.order_id, commit.expected_version);
        }
        self.versions.insert(commit.order_id, version);
        if let Some(guard) = commit.catalogue {
            self.plan.guards.insert(commit.restaurant_id, guard);
        }
        for change in &commit.stock {
            let (StockChange::Take(draw) | StockChange::Return(draw)) = change;
            let effect = self.plan.stock.entry((commit.restaurant_id, &draw.item)).or_default();
            *effect = effect.then(change);
        }
        for unavailable in &commit.unavailable {
            self.mark(commit.restaurant_id, unavailable);
        }
        self.plan.committed.push(encoded);
    }

    /// Adds a mark. Without a view, every mark counts as a change, so that a batch with a later guarded commit is
    /// planned with a view.
    fn mark(&mut self, restaurant_id: RestaurantId, unavailable: &'b UnavailableItem) {
        let (key, until) = ((restaurant_id, &unavailable.item), unavailable.until);
        let planned = self.plan.marks.get(&key).copied();
        let stored = self.view.and_then(|view| view.marks.get(&key).copied());
        let present = match (planned, stored) {
            (Some(planned), Some(stored)) => Some(later_end(planned, stored)),
            (present, None) | (None, present) => present,
        };
        if self.view.is_none() || present.is_none_or(|end| later_end(end, until) != end) {
            self.remarked.insert(restaurant_id);
        }
        self.plan.marks.insert(key, planned.map_or(until, |end| later_end(end, until)));
    }

    /// Merges several changes of one order into one write: from the version that the first commit expects to the
    /// order of the last commit.
    fn change_order(&mut self, encoded: &'b EncodedCommit) {
        let order_id = encoded.commit.order_id;
        if let Some(last) = self.plan.created.get_mut(&order_id) {
            *last = encoded;
        } else if let Some((_, last)) = self.plan.updated.get_mut(&order_id) {
            *last = encoded;
        } else if encoded.commit.expected_version == 0 {
            self.plan.created.insert(order_id, encoded);
        } else {
            self.plan.updated.insert(order_id, (encoded.commit.expected_version, encoded));
        }
    }
}
