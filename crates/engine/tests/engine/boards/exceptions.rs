//! Boards and processes that attend or pause no restaurant, and restaurants that a person opens.

use std::{sync::atomic::Ordering, time::Duration};

use dabba_domain::{restaurant::Pause, text::Note};
use dabba_store::{BOARD_KEPT_FOR, BOARD_STALE_AFTER, CONNECTED_BOARD_CHECK};
use serde_json::json;
use tokio::time::timeout;

use super::{
    LIMIT, SECOND, board, connect, leave_unattended, pass, pause, stored_boards, world, world_with_layer,
};
use crate::world::{config, settings};

/// Maximum time to wait for a response.
const PATIENCE: Duration = Duration::from_secs(20);

/// Proves that a board of an admin attends no restaurant: it is not recorded, and ends no pause.
#[tokio::test]
async fn a_board_of_an_admin_attends_no_restaurant() {
    let world = world().await;
    let boards = &world.engine.boards;
    let look = async || {
        assert!(boards.connect(&world.admin, board(&world, 2)).is_none());
        boards.write_connections(true).await.unwrap();
    };
    look().await;
    assert_eq!(stored_boards(&world).await, []);
    leave_unattended(&world).await;
    pass(&world, LIMIT + SECOND * 60).await;
    look().await;
    assert_eq!(pause(&world).await, Some(Pause::UNATTENDED));
    assert_eq!(stored_boards(&world).await.len(), 1);
}

/// What a person changes, so that a restaurant takes orders again.
#[derive(Clone, Copy, Debug)]
enum Opening {
    Resume,
    Reopen,
    Hours,
}

/// Proves that a restaurant that takes orders because of a change by a person has the whole limit to connect a board, although
/// the boards have left long ago.
#[tokio::test]
async fn a_restaurant_that_a_person_opens_has_the_limit_to_connect_a_board() {
    for opening in [Opening::Resume, Opening::Reopen, Opening::Hours] {
        let world = world().await;
        let (catalogue, id) = (&world.engine.catalogue, world.restaurant_id);
        let note = Note::new("The kitchen burned").unwrap();
        let mut document = serde_json::to_value(settings()).unwrap();
        document["opening_hours"] = json!([{"day": "sunday", "opens": "15:00", "closes": "23:00"}]);
        let closed_today = serde_json::from_value(document).unwrap();
        match opening {
            Opening::Resume => drop(catalogue.pause(&world.staff, id, None).await.unwrap()),
            Opening::Reopen => {
                drop(catalogue.close_restaurant(&world.admin, id, note.clone(), None).await.unwrap());
            }
            Opening::Hours => {
                drop(catalogue.replace_settings(&world.admin, id, closed_today, None).await.unwrap());
            }
        }
        leave_unattended(&world).await;
        pass(&world, LIMIT * 3).await;
        match opening {
            Opening::Resume => drop(catalogue.resume(&world.staff, id).await.unwrap()),
            Opening::Reopen => drop(catalogue.reopen_restaurant(&world.admin, id, None).await.unwrap()),
            Opening::Hours => {
                drop(catalogue.replace_settings(&world.admin, id, settings(), None).await.unwrap());
            }
        }
        pass(&world, LIMIT - SECOND * 30).await;
        assert_eq!(pause(&world).await, None, "{opening:?}");
        pass(&world, SECOND * 30).await;
        assert_eq!(pause(&world).await, Some(Pause::UNATTENDED), "{opening:?}");
    }
}

/// Proves that a process that pauses no restaurant delays no pause by another one, and still marks stale boards and deletes old
/// rows.
#[tokio::test]
async fn a_process_without_the_setting_delays_no_pause() {
    let world = world().await;
    let without = world.second_engine_with(config());
    world.clock.advance(BOARD_STALE_AFTER);
    leave_unattended(&world).await;
    let end = world.engine.now() + LIMIT;
    while world.engine.now() < end {
        assert_eq!(pause(&world).await, None);
        world.clock.advance(SECOND * 30);
        assert_eq!(without.boards.check_unattended().await.unwrap(), 0);
    }
    assert!(world.engine.boards.check_unattended().await.unwrap() > 0);
    assert_eq!(pause(&world).await, Some(Pause::UNATTENDED));

    std::mem::forget(connect(&world, &without, 1).await);
    world.clock.advance(CONNECTED_BOARD_CHECK);
    assert_eq!(without.boards.check_unattended().await.unwrap(), 1);
    assert!(!stored_boards(&world).await[0].is_recorded_connected);
    world.clock.advance(BOARD_KEPT_FOR);
    without.boards.check_unattended().await.unwrap();
    assert_eq!(stored_boards(&world).await, []);
}

/// Proves that a shard that does not answer does not hold up the reads of restaurants.
#[tokio::test]
async fn a_silent_shard_holds_up_no_read_of_restaurants() {
    let (world, layer) = world_with_layer().await;
    leave_unattended(&world).await;
    let ids = [world.restaurant_id];
    assert_eq!(world.engine.boards.unattended_since(&ids).await.len(), 1);
    layer.is_silent.store(true, Ordering::SeqCst);
    let read = timeout(PATIENCE, world.engine.boards.unattended_since(&ids)).await;
    assert_eq!(read.unwrap().len(), 0);
}
