//! Group read: one statement reads all orders that are requested at the same time.
//!
//! Group read is for reads what group commit is for writes. A statement costs the server far more than one of its
//! rows. So at most [`LANES`] statements run at the same time, and requests that arrive in the meantime share the
//! next statement. There is no timer: a lone read is sent at once, and under load more reads share a statement. Every
//! read starts after its request, so it sees everything that was written before the request.
//!
//! A caller that finds a free lane reads for all waiting callers, including itself. If that caller stops waiting, the
//! others request their orders again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use dabba_domain::{OrderId, order::Order};
use dabba_store::StoreError;
use tokio::sync::{Semaphore, oneshot};

/// Maximum number of statements that run at the same time.
const LANES: usize = 4;
/// Maximum number of orders that one statement reads.
const MAX_GROUP: usize = 256;

/// Result for one order: `None` if it does not exist, an error if it cannot be read.
type Found = Result<Option<Order>, StoreError>;

/// Result of a statement: the existing orders, each decoded or with its own error.
pub(super) type Orders = HashMap<OrderId, Result<Order, StoreError>>;

/// The group reads of one store.
pub(crate) struct GroupReads {
    waiting: Mutex<Vec<Request>>,
    lanes: Semaphore,
}

struct Request {
    id: OrderId,
    answer: oneshot::Sender<Found>,
}

impl Default for GroupReads {
    fn default() -> Self {
        Self { waiting: Mutex::default(), lanes: Semaphore::new(LANES) }
    }
}

impl GroupReads {
    /// Reads an order by `read`, which reads several orders. An order that is not among its results does not exist.
    pub(super) async fn order<F>(&self, id: OrderId, read: impl Fn(Vec<OrderId>) -> F) -> Found
    where
        F: Future<Output = Result<Orders, StoreError>>,
    {
        loop {
            let mut answered = self.enqueue(id);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answered => match answer {
                        Ok(found) => return found,
                        // The caller that read for this request has stopped.
                        Err(_) => break,
                    },
                    lane = self.lanes.acquire() => {
                        let group = self.take_group();
                        if group.is_empty() {
                            drop(lane);
                            match (&mut answered).await {
                                Ok(found) => return found,
                                Err(_) => break,
                            }
                        }
                        let found = read(group.iter().map(|request| request.id).collect()).await;
                        answer_all(group, &found);
                    }
                }
            }
        }
    }

    fn enqueue(&self, id: OrderId) -> oneshot::Receiver<Found> {
        let (answer, answered) = oneshot::channel();
        self.lock().push(Request { id, answer });
        answered
    }

    /// Removes and returns the requests that have waited longest.
    fn take_group(&self) -> Vec<Request> {
        let mut waiting = self.lock();
        let count = waiting.len().min(MAX_GROUP);
        waiting.drain(..count).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Request>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends each request its result. A request whose caller has stopped waiting ignores the result.
fn answer_all(group: Vec<Request>, found: &Result<Orders, StoreError>) {
    for Request { id, answer } in group {
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

    /// Reads under manual control: a read waits until the test releases it.
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

        fn release(&self, reads: usize) {
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

    /// A read is sent at once while a lane is free. Without a free lane, reads share a statement. Each read gets its
    /// own order, or `None`.
    #[tokio::test]
    async fn waiting_reads_share_a_statement() {
        let (reads, mut ids) = Reads::new(LANES + 20);
        let absent = World::new(8).restaurant_id();
        ids.push(OrderId::generate(dabba_domain::Timestamp::UNIX_EPOCH, absent.bucket(), 1));
        ids.push(ids[0]);
        let mut all = Box::pin(join_all(ids.iter().map(|id| reads.order(*id))));
        assert!((&mut all).now_or_never().is_none());
        assert_eq!(reads.groups(), [1; LANES], "the number of running statements is limited");
        reads.release(LANES + 1);
        let found = all.await;
        assert_eq!(reads.groups(), [&[1; LANES][..], &[22]].concat());
        for (id, found) in ids.iter().zip(found) {
            assert_eq!(found.unwrap().as_ref(), reads.orders.get(id));
        }
    }

    /// Waiting reads get their results although the caller that reads for them stops.
    #[tokio::test]
    async fn a_read_for_others_may_be_cancelled() {
        let (reads, ids) = Reads::new(LANES + 2);
        let mut first = Box::pin(join_all(ids[..LANES].iter().map(|id| reads.order(*id))));
        assert!((&mut first).now_or_never().is_none());
        let mut reader = Box::pin(reads.order(ids[LANES]));
        let mut other = Box::pin(reads.order(ids[LANES + 1]));
        assert!((&mut reader).now_or_never().is_none() && (&mut other).now_or_never().is_none());
        reads.release(LANES);
        first.await;
        assert!((&mut reader).now_or_never().is_none() && (&mut other).now_or_never().is_none());
        assert_eq!(reads.groups(), [&[1; LANES][..], &[2]].concat(), "one statement reads both orders");
        drop(reader);
        reads.release(1);
        assert_eq!(other.await.unwrap().as_ref(), reads.orders.get(&ids[LANES + 1]));
    }

    /// A failed statement fails all reads that shared it. An order that cannot be decoded fails only its own read.
    #[tokio::test]
    async fn a_failure_affects_only_its_own_reads() {
        let together = GroupReads::default();
        let (reads, ids) = Reads::new(2);
        let away = async |_| Err(StoreError::Unavailable("away".into()));
        assert!(matches!(together.order(ids[0], away).await, Err(StoreError::Unavailable(_))));

        let (waiting, answers): (Vec<_>, Vec<_>) = ids
            .iter()
            .map(|id| {
                let (answer, answered) = oneshot::channel();
                (Request { id: *id, answer }, answered)
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
