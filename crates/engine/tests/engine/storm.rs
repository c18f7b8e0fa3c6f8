//! Clients that retry while the store fails at random.

use std::sync::Arc;

use dabba_domain::order::Command;
use dabba_engine::{CommandRequest, Error, Random as _, SeededRandom};

use crate::{
    faulty::Fault,
    world::{World, accept, dal, key},
};

/// Proves I1, I2 and I4 while half of all batches fail, before or after they are written, and clients retry each
/// request with its key until it is answered: every key has exactly one order, the acknowledged one, and every history
/// is complete.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_key_has_exactly_one_order_under_store_faults() {
    for seed in 0..5 {
        let world = Arc::new(World::new().await);
        let random = SeededRandom::new(seed);
        world.store.commits.plan(move || match random.next_u64() % 8 {
            0 | 1 => Fault::Before,
            2 | 3 => Fault::After,
            _ => Fault::None,
        });
        let clients: Vec<_> = (0..40)
            .map(|number| {
                let world = Arc::clone(&world);
                tokio::spawn(async move { place_and_prepare(&world, number).await })
            })
            .collect();
        let mut acknowledged = Vec::new();
        for client in clients {
            acknowledged.push(client.await.unwrap());
        }
        let mut stored: Vec<_> =
            world.orders().await.into_iter().map(|order| (order.id, order.version)).collect();
        stored.sort_unstable();
        acknowledged.sort_unstable();
        assert_eq!(stored, acknowledged, "seed {seed}");
        world.check_histories().await;
    }
}

/// Places an order and moves it to ready, retrying each step until it is answered.
async fn place_and_prepare(
    world: &World,
    number: u32,
) -> (dabba_domain::OrderId, dabba_domain::order::Version) {
    let mut answer = loop {
        match world.place(&dal(1 + number % 3), &format!("place {number}")).await {
            Ok(answer) => break answer,
            Err(Error::Unavailable | Error::OutcomeUnknown) => {}
            Err(error) => panic!("{error}"),
        }
    };
    for (command, name) in [(accept(), "accept"), (Command::MarkReady, "ready")] {
        let request = CommandRequest {
            order_id: answer.order.id,
            command,
            key: Some(key(&format!("{name} {number}"))),
            expected_versions: None,
        };
        answer = loop {
            match world.engine.orders.act(&world.staff, &request).await {
                Ok(answer) => break answer,
                Err(Error::Unavailable | Error::OutcomeUnknown) => {}
                Err(error) => panic!("{error}"),
            }
        };
    }
    (answer.order.id, answer.order.version)
}
