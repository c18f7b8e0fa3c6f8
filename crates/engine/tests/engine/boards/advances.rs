//! Presence after an advance of a sandbox's clock, and the latest pause after the loss of a server.

use std::sync::{Arc, atomic::Ordering};

use dabba_domain::restaurant::Pause;
use dabba_engine::{AdjustableClock, EngineConfig};
use dabba_store::BOARD_STALE_AFTER;
use jiff::SignedDuration;

use super::{LIMIT, SECOND, connect, disconnect, pause, pausing, stored_boards, world, world_with_layer};
use crate::{faulty::Fault, world::World};

/// Interval at which the maintenance of a server checks.
const MAINTENANCE: SignedDuration = SignedDuration::from_secs(60);

fn clock(world: &World) -> Arc<dyn AdjustableClock> {
    Arc::clone(&world.clock) as _
}

/// Proves that a restaurant whose board is connected stays attended however often the clock is advanced in quick succession, and
/// that the pause of one without a connected board is due.
#[tokio::test]
async fn an_advance_pauses_no_attended_restaurant() {
    let world = world().await;
    let (engine, clock) = (&world.engine, clock(&world));
    let connection = connect(&world, engine, 1).await;
    for _ in 0..4 {
        let now = engine.advance_clock(&clock, LIMIT * 2).await.unwrap();
        assert_eq!(now, engine.now());
        assert_eq!(stored_boards(&world).await[0].last_seen_at, now);
        assert!(engine.boards.unattended_since(&[world.restaurant_id]).await.is_empty());
        engine.boards.check_unattended().await.unwrap();
        assert_eq!(pause(&world).await, None);
    }
    disconnect(engine, connection).await;
    engine.advance_clock(&clock, LIMIT).await.unwrap();
    engine.boards.check_unattended().await.unwrap();
    assert_eq!(pause(&world).await, Some(Pause::UNATTENDED));
}

/// Proves that a check waits until the boards are renewed after an advance.
#[tokio::test]
async fn no_check_sees_the_boards_before_their_renewal() {
    let (world, layer) = world_with_layer().await;
    let _connection = connect(&world, &world.engine, 1).await;
    layer.holds.store(true, Ordering::SeqCst);
    let (engine, clock) = (Arc::clone(&world.engine), clock(&world));
    let advancing = tokio::spawn(async move { engine.advance_clock(&clock, LIMIT * 2).await });
    layer.held.notified().await;
    let mut checking = std::pin::pin!(world.engine.boards.check_unattended());
    assert!(futures::poll!(&mut checking).is_pending());
    assert_eq!(layer.checked.load(Ordering::SeqCst), 0, "the check has not begun");
    layer.holds.store(false, Ordering::SeqCst);
    layer.released.notify_one();
    advancing.await.unwrap().unwrap();
    checking.await.unwrap();
    assert!(stored_boards(&world).await[0].is_recorded_connected);
}

/// Proves that an advance whose renewal fails has taken place, and that the next renewal makes up for it.
#[tokio::test]
async fn an_advance_without_a_renewal_pauses_nothing() {
    let (world, layer) = world_with_layer().await;
    let _connection = connect(&world, &world.engine, 1).await;
    let before = world.engine.now();
    layer.fail(Fault::Before);
    let now = world.engine.advance_clock(&clock(&world), LIMIT * 2).await.unwrap();
    assert_eq!(now, before + LIMIT * 2);
    world.engine.boards.check_unattended().await.unwrap();
    world.engine.boards.write_connections(true).await.unwrap();
    world.clock.advance(BOARD_STALE_AFTER - SECOND);
    world.engine.boards.check_unattended().await.unwrap();
    assert_eq!(pause(&world).await, None);
    assert!(stored_boards(&world).await[0].is_connected_at(world.engine.now()));
}

/// Proves how late the pause can be after a server was killed, as the guide for operators states: with a limit shorter than eight
/// minutes, eight minutes after the boards were seen last; with a longer one, at the next check after the limit.
#[tokio::test]
async fn the_pause_after_the_loss_of_a_server_is_late_by_minutes_at_most() {
    let guide_limit = SignedDuration::from_mins(8);
    for (limit, latest) in [
        (SignedDuration::from_mins(1), guide_limit),
        (guide_limit, guide_limit + MAINTENANCE),
        (LIMIT, LIMIT + MAINTENANCE),
    ] {
        // The maintenance runs at any time relative to the last renewal.
        for offset in [1, 20, 40, 59] {
            let world = World::with(EngineConfig { unattended_pause: Some(limit), ..pausing() }).await;
            world.clock.advance(BOARD_STALE_AFTER);
            let connection = connect(&world, &world.engine, 1).await;
            let seen_at = world.engine.now();
            std::mem::forget(connection);
            world.clock.advance(SECOND * offset);
            while pause(&world).await.is_none() {
                let late = world.engine.now().duration_since(seen_at);
                assert!(late <= latest, "limit {limit}, offset {offset}");
                world.engine.boards.check_unattended().await.unwrap();
                if pause(&world).await.is_none() {
                    world.clock.advance(MAINTENANCE);
                }
            }
            assert!(world.engine.now().duration_since(seen_at) >= limit);
        }
    }
}
