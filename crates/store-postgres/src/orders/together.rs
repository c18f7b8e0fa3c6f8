//! Group read: orders that are asked for at the same time are read by one statement.
//!
//! It is to reads what group commit is to writes. A statement costs the server far more than a row of it, so
//! [`LANES`] statements at most are under way, and whatever is asked for meanwhile shares the next one. There is
//! no timer: a lone read is sent at once, and the busier it gets, the more reads share a statement. Each is read
//! after it was asked for, so it sees everything that was written before.
//!
//! Whoever finds a lane free reads for all who wait, itself among them. Should its caller stop waiting, those for
//! whom it was reading ask again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use dabba_domain::{OrderId, order::Order};
use dabba_store::StoreError;
use tokio::sync::{Semaphore, oneshot};

/// Statements under way at once.
const LANES: usize = 4;
/// Most orders that one statement reads.
const MAX_GROUP: usize = 256;

/// What is read of an order: nothing where there is none, an error where it cannot be read.
type Found = Result<Option<Order>, StoreError>;

/// What a statement finds: the orders that are there, each by itself readable or not.
pub(super) type Orders = HashMap<OrderId, Result<Order, StoreError>>;

/// The reads of one store.
pub(crate) struct GroupReads {
    waiting: Mutex<Vec<Asked>>,
    lanes: Semaphore,
}

struct Asked {
    id: OrderId,
    answer: oneshot::Sender<Found>,
}

impl Default for GroupReads {
    fn default() -> Self {
        Self { waiting: Mutex::default(), lanes: Semaphore::new(LANES) }
    }
}

impl GroupReads {
    /// Reads an order, by `read`, which reads several; those that it does not answer are not there.
    pub(super) async fn order<F>(&self, id: OrderId, read: impl Fn(Vec<OrderId>) -> F) -> Found
    where
        F: Future<Output = Result<Orders, StoreError>>,
    {
        loop {
            let mut answered = self.ask(id);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answered => match answer {
                        Ok(found) => return found,
                        // Whoever read for this one has gone away.
                        Err(_) => break,
                    },
                    lane = self.lanes.acquire() => {
                        let group = self.take();
                        if group.is_empty() {
                            drop(lane);
                            match (&mut answered).await {
                                Ok(found) => return found,
                                Err(_) => break,
                            }
                        }
                        let found = read(group.iter().map(|asked| asked.id).collect()).await;
                        answer_all(group, &found);
                    }
                }
            }
        }
    }

    fn ask(&self, id: OrderId) -> oneshot::Receiver<Found> {
        let (answer, answered) = oneshot::channel();
        self.lock().push(Asked { id, answer });
        answered
    }

    /// Those who have waited longest.
    fn take(&self) -> Vec<Asked> {
        let mut waiting = self.lock();
        let count = waiting.len().min(MAX_GROUP);
        waiting.drain(..count).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Asked>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells each what was found of it. Whoever has stopped waiting does not take its answer.
fn answer_all(group: Vec<Asked>, found: &Result<Orders, StoreError>) {
    for Asked { id, answer } in group {
        let found = match found {
            Ok(orders) => orders.get(&id).cloned().transpose(),
            Err(error) => Err(error.clone()),
        };
        let _ = answer.send(found);
    }
}

#[cfg(test)]
mod tests {
    use dabba_store::conformance::builders::{World, order_of};
    use futures::{FutureExt as _, future::join_all};

    use super::*;

    /// Reads by hand: a read hangs until it is let go.
    struct Reads {
        orders: HashMap<OrderId, Order>,
        groups: Mutex<Vec<usize>>,
        gate: Semaphore,
        together: GroupReads,
    }

    impl Reads {
        fn new(orders: usize) -> (Self, Vec<OrderId>) {
            let mut world = World::new(7);
            let orders = (0..orders).map(|_| {
                let (restaurant_id, customer_id) = (world.restaurant_id(), world.account_id());
                order_of(&world.place(restaurant_id, customer_id))
            });
            let orders: HashMap<_, _> = orders.map(|order| (order.id, order)).collect();
            let ids = orders.keys().copied().collect();
            let (groups, gate, together) = (Mutex::default(), Semaphore::new(0), GroupReads::default());
            (Self { orders, groups, gate, together }, ids)
        }

        fn let_go(&self, reads: usize) {
            self.gate.add_permits(reads);
        }

        fn groups(&self) -> Vec<usize> {
            self.groups.lock().unwrap().clone()
        }

        async fn order(&self, id: OrderId) -> Found {
            self.together
                .order(id, async |ids| {
                    self.groups.lock().unwrap().push(ids.len());
                    self.gate.acquire().await.unwrap().forget();
                    let found = |id: OrderId| Some((id, Ok(self.orders.get(&id)?.clone())));
                    Ok(ids.into_iter().filter_map(found).collect())
                })
                .await
        }
    }

    /// Proves that reads go out at once while there is a lane, and share a statement when there is none, and
    /// that each gets the order that it asked for, or nothing.
    #[tokio::test]
    async fn reads_that_wait_share_a_statement() {
        let (reads, mut ids) = Reads::new(LANES + 20);
        let absent = World::new(8).restaurant_id();
        ids.push(OrderId::generate(dabba_domain::Timestamp::UNIX_EPOCH, absent.bucket(), 1));
        ids.push(ids[0]);
        let mut all = Box::pin(join_all(ids.iter().map(|id| reads.order(*id))));
        assert!((&mut all).now_or_never().is_none());
        assert_eq!(reads.groups(), [1; LANES], "no more than that are under way");
        reads.let_go(LANES + 1);
        let found = all.await;
        assert_eq!(reads.groups(), [&[1; LANES][..], &[22]].concat());
        for (id, found) in ids.iter().zip(found) {
            assert_eq!(found.unwrap().as_ref(), reads.orders.get(id));
        }
    }

    /// Proves that those who wait are answered when whoever reads for them goes away.
    #[tokio::test]
    async fn whoever_reads_for_others_may_go_away() {
        let (reads, ids) = Reads::new(LANES + 2);
        let mut first = Box::pin(join_all(ids[..LANES].iter().map(|id| reads.order(*id))));
        assert!((&mut first).now_or_never().is_none());
        let mut reader = Box::pin(reads.order(ids[LANES]));
        let mut other = Box::pin(reads.order(ids[LANES + 1]));
        assert!((&mut reader).now_or_never().is_none() && (&mut other).now_or_never().is_none());
        reads.let_go(LANES);
        first.await;
        assert!((&mut reader).now_or_never().is_none() && (&mut other).now_or_never().is_none());
        assert_eq!(reads.groups(), [&[1; LANES][..], &[2]].concat(), "one reads for both");
        drop(reader);
        reads.let_go(1);
        assert_eq!(other.await.unwrap().as_ref(), reads.orders.get(&ids[LANES + 1]));
    }

    /// Proves that all who shared a statement learn of its failure, and that an order that cannot be decoded
    /// is nobody else's failure.
    #[tokio::test]
    async fn a_failure_reaches_those_whom_it_concerns() {
        let together = GroupReads::default();
        let (reads, ids) = Reads::new(2);
        let away = async |_| Err(StoreError::Unavailable("away".into()));
        assert!(matches!(together.order(ids[0], away).await, Err(StoreError::Unavailable(_))));

        let (waiting, answers): (Vec<_>, Vec<_>) = ids
            .iter()
            .map(|id| {
                let (answer, answered) = oneshot::channel();
                (Asked { id: *id, answer }, answered)
            })
            .unzip();
        let found = [
            (ids[0], Ok(reads.orders[&ids[0]].clone())),
            (ids[1], Err(StoreError::Corrupt("what is this?".into()))),
        ];
        answer_all(waiting, &Ok(HashMap::from(found)));
        let answers: Vec<Found> = join_all(answers).await.into_iter().map(Result::unwrap).collect();
        assert!(answers[0].as_ref().unwrap().is_some());
        assert!(matches!(answers[1], Err(StoreError::Corrupt(_))));
    }
}
