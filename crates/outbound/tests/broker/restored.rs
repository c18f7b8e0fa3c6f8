//! The publisher on a database that is restored while the process runs.

use std::sync::Arc;

use dabba_engine::SeededRandom;
use dabba_outbound::broker::{
    BrokerConfig, BrokerFeed as _, BrokerMetrics, BrokerPublisher, BrokerStart, ShardsFeed,
};
use dabba_testkit::{TestServer, eventually, restorable_postgres};

use crate::{
    shards::place,
    world::{MemoryBroker, MemoryLease, MemorySink, always_held},
};

/// Proves that a publisher that knows the end of a feed publishes all events again after each restore, once, and then the later
/// events.
#[tokio::test]
async fn a_restored_database_is_published_again() {
    let (store, restore) = restorable_postgres();
    let server = TestServer::builder().store(store).start().await;
    place(&server, 0).await;
    let (broker, metrics) = (Arc::<MemoryBroker>::default(), BrokerMetrics::default());
    let publisher = BrokerPublisher::new(
        Arc::new(MemorySink(Arc::clone(&broker))),
        Arc::new(ShardsFeed::new(server.engine())),
        always_held(&Arc::<MemoryLease>::default()),
        Arc::new(SeededRandom::new(1)),
        metrics.clone(),
        BrokerConfig::default(),
    );
    let engine = Arc::clone(server.engine());
    let running = tokio::spawn(async move { publisher.run(engine.supervisor()).await });
    let mut expected = Vec::new();
    // Each order has two events, and every second one is accepted, too.
    for (restores, events) in [5, 8, 10].into_iter().enumerate() {
        if restores > 0 {
            restore().await;
        }
        place(&server, 1 + restores).await;
        let before = expected.clone();
        let feed = ShardsFeed::new(server.engine());
        let start = feed.begin(BrokerStart::Start).await.unwrap();
        expected = eventually("the broker holds all events of the restored database", async || {
            let all = feed.read(&start, 1_000).await.unwrap().events;
            let expected = [&before[..], &all.into_iter().map(|event| event.id).collect::<Vec<_>>()].concat();
            let delivered = broker.delivered();
            let is_complete = expected.len() == before.len() + events;
            if is_complete && delivered == expected {
                Ok(expected)
            } else {
                Err((delivered.len(), expected.len()))
            }
        })
        .await;
        assert_eq!(metrics.restarts(), restores as u64);
    }
    running.abort();
}
