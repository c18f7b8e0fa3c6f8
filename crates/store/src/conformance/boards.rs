//! Boards of restaurants.

use std::{collections::BTreeSet, sync::Arc};

use dabba_domain::{
    RestaurantId, Timestamp,
    restaurant::{Pause, Restaurant},
};
use jiff::SignedDuration;
use uuid::Uuid;

use super::builders::{World, menu};
use crate::{
    Attendance, BOARD_KEPT_FOR, BOARD_STALE_AFTER, Board, BoardCheck, BoardKey, CONNECTED_BOARD_CHECK,
    CatalogueUpdate, CheckedBoards, ConnectedBoard, DeviceId, EndedBoard, MAX_BOARDS, MAX_BOARDS_PER_WRITE,
    MAX_REVISIONS, Store, StoreError, UNATTENDED_RECHECK,
};

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Time after which the restaurants of these tests are unattended for too long.
const LIMIT: SignedDuration = SignedDuration::from_mins(10);

/// Returns a board of a new device that connects now.
pub(super) fn board(world: &mut World, restaurant_id: RestaurantId) -> ConnectedBoard {
    let bits = u128::from(world.random()) << 64 | u128::from(world.random());
    ConnectedBoard {
        key: BoardKey { restaurant_id, device_id: DeviceId(Uuid::from_u128(bits)) },
        connection: i64::from_ne_bytes(world.random().to_ne_bytes()),
        device: None,
        account_id: world.account_id(),
        connected_at: world.tick(),
        is_new: true,
    }
}

/// Returns another connection of the same device.
fn reconnected(world: &mut World, board: &ConnectedBoard) -> ConnectedBoard {
    let connection = i64::from_ne_bytes(world.random().to_ne_bytes());
    ConnectedBoard { connection, connected_at: world.tick(), ..board.clone() }
}

async fn record(store: &Arc<dyn Store>, boards: &[ConnectedBoard], now: Timestamp) -> Vec<RestaurantId> {
    store.record_boards(boards, now).await.unwrap()
}

async fn disconnect(store: &Arc<dyn Store>, board: &ConnectedBoard, at: Timestamp) {
    let ended = EndedBoard { key: board.key, connection: board.connection, at };
    store.disconnect_boards(&[ended]).await.unwrap();
}

/// Returns the only board of a restaurant.
async fn only(store: &Arc<dyn Store>, id: RestaurantId, now: Timestamp) -> Board {
    let mut boards = store.boards(id, now).await.unwrap();
    assert_eq!(boards.len(), 1, "{boards:?}");
    boards.remove(0)
}

async fn attendance(store: &Arc<dyn Store>, id: RestaurantId, now: Timestamp) -> Attendance {
    let found = store.attendance(&[id], now).await.unwrap();
    let [attendance] = found[..] else { panic!("{found:?}") };
    assert_eq!(attendance.restaurant_id, id);
    attendance
}

async fn since(store: &Arc<dyn Store>, id: RestaurantId, now: Timestamp) -> Option<Timestamp> {
    attendance(store, id, now).await.unattended_since(now)
}

async fn check(store: &Arc<dyn Store>, now: Timestamp) -> CheckedBoards {
    store.check_boards(&BoardCheck { now, pause_after: Some(LIMIT), limit: 100 }).await.unwrap()
}

/// Returns the restaurants that a check finds, with the times since which they are unattended.
async fn found(store: &Arc<dyn Store>, now: Timestamp) -> Vec<(RestaurantId, Timestamp)> {
    let found = check(store, now).await.unattended.into_iter();
    found.map(|(restaurant, since)| (restaurant.id, since)).collect()
}

async fn created(store: &Arc<dyn Store>, world: &mut World) -> Restaurant {
    let restaurant = world.restaurant();
    assert!(store.create_restaurant(&restaurant, &menu(&["dal"])).await.unwrap().is_created());
    restaurant
}

fn paused(restaurant: &Restaurant) -> Restaurant {
    Restaurant { pause: Some(Pause::UNATTENDED), ..restaurant.clone() }
}

/// A restaurant whose only board disconnected so long ago that the restaurant may be paused.
async fn unattended(store: &Arc<dyn Store>, world: &mut World) -> (Restaurant, ConnectedBoard, Timestamp) {
    let restaurant = created(store, world).await;
    let board = board(world, restaurant.id);
    let ended_at = world.in_seconds(30);
    record(store, std::slice::from_ref(&board), world.now()).await;
    disconnect(store, &board, ended_at).await;
    (restaurant, board, ended_at)
}

/// A connected board is listed with its device, account and times, while it is connected and after its end.
pub async fn a_connected_board_is_stored_exactly(store: Arc<dyn Store>) {
    let mut world = World::new(301);
    let (restaurant, other) = (world.restaurant_id(), world.restaurant_id());
    let named = ConnectedBoard { device: Some("Küche 1 🍛".to_owned()), ..board(&mut world, restaurant) };
    let nameless = board(&mut world, restaurant);
    let now = world.in_seconds(5);
    assert_eq!(record(&store, &[named.clone(), nameless.clone()], now).await, []);
    let expected = |board: &ConnectedBoard, last_seen_at, is_recorded_connected| Board {
        device_id: board.key.device_id,
        device: board.device.clone(),
        account_id: board.account_id,
        connected_at: board.connected_at,
        last_seen_at,
        is_recorded_connected,
    };
    // Newest connection first.
    let boards = [expected(&nameless, now, true), expected(&named, now, true)];
    assert_eq!(store.boards(restaurant, now).await.unwrap(), boards);
    assert_eq!(store.boards(other, now).await.unwrap(), []);
    assert_eq!(since(&store, restaurant, now).await, None);

    let ended_at = now + SECOND;
    disconnect(&store, &nameless, ended_at).await;
    // Connected boards come first.
    let boards = [expected(&named, now, true), expected(&nameless, ended_at, false)];
    assert_eq!(store.boards(restaurant, ended_at).await.unwrap(), boards);
    assert_eq!(since(&store, restaurant, ended_at).await, None, "the other board is connected");
    disconnect(&store, &named, ended_at + SECOND).await;
    assert_eq!(since(&store, restaurant, ended_at + SECOND).await, Some(ended_at + SECOND));

    let too_many = vec![named; MAX_BOARDS_PER_WRITE + 1];
    let refused = store.record_boards(&too_many, now).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
}

/// A board that has connected again, to the same server or another one, stays connected when the end of the earlier
/// connection is written late, and when the server of the earlier connection renews it.
pub async fn the_latest_connection_of_a_board_counts(store: Arc<dyn Store>) {
    let mut world = World::new(302);
    let restaurant = world.restaurant_id();
    let first = board(&mut world, restaurant);
    let second = reconnected(&mut world, &first);
    let now = world.in_seconds(10);
    record(&store, std::slice::from_ref(&first), now).await;
    record(&store, std::slice::from_ref(&second), now + SECOND).await;
    disconnect(&store, &first, now + SECOND).await;
    assert!(only(&store, restaurant, now).await.is_connected_at(now + SECOND));
    record(&store, std::slice::from_ref(&first), now + SECOND * 2).await;
    assert_eq!(only(&store, restaurant, now).await.connected_at, second.connected_at, "it is the later one");
    disconnect(&store, &second, now + SECOND * 3).await;
    assert!(!only(&store, restaurant, now).await.is_connected_at(now + SECOND * 3));
    // The first connection, which another server still has, counts again.
    record(&store, std::slice::from_ref(&first), now + SECOND * 4).await;
    let board = only(&store, restaurant, now).await;
    assert!(board.is_connected_at(now + SECOND * 4));
    assert_eq!((board.connected_at, board.last_seen_at), (first.connected_at, now + SECOND * 4));
}

/// A board whose server died counts as disconnected since its last renewal, and any connection takes it over.
pub async fn a_board_that_nobody_renews_is_stale(store: Arc<dyn Store>) {
    let mut world = World::new(303);
    let restaurant = world.restaurant_id();
    let earlier = board(&mut world, restaurant);
    let later = reconnected(&mut world, &earlier);
    let (now, renewed_at) = (world.in_seconds(10), world.in_seconds(40));
    record(&store, std::slice::from_ref(&later), now).await;
    record(&store, std::slice::from_ref(&later), renewed_at).await;
    let stale_at = renewed_at + BOARD_STALE_AFTER;
    for (at, expected) in [(stale_at - SECOND, None), (stale_at, Some(renewed_at))] {
        assert_eq!(since(&store, restaurant, at).await, expected, "{at}");
        assert_eq!(only(&store, restaurant, at).await.is_connected_at(at), expected.is_none(), "{at}");
    }
    record(&store, std::slice::from_ref(&earlier), stale_at).await;
    assert_eq!(only(&store, restaurant, stale_at).await.connected_at, earlier.connected_at);
    assert_eq!(since(&store, restaurant, stale_at).await, None);
}

/// Returns the devices of a restaurant's boards, in the order of the list.
async fn devices(store: &Arc<dyn Store>, id: RestaurantId, now: Timestamp) -> Vec<DeviceId> {
    store.boards(id, now).await.unwrap().into_iter().map(|board| board.device_id).collect()
}

/// A restaurant has at most [`MAX_BOARDS`] boards. Disconnected boards make place, those that were seen longest ago first.
pub async fn the_boards_of_a_restaurant_are_limited(store: Arc<dyn Store>) {
    let mut world = World::new(304);
    let (restaurant, other) = (world.restaurant_id(), world.restaurant_id());
    let beside = board(&mut world, other);
    record(&store, std::slice::from_ref(&beside), world.now()).await;
    let mut boards = Vec::new();
    for _ in 0..MAX_BOARDS {
        boards.push(board(&mut world, restaurant));
    }
    record(&store, &boards, world.now()).await;
    assert_eq!(devices(&store, restaurant, world.now()).await.len(), MAX_BOARDS);
    disconnect(&store, &boards[7], world.in_seconds(2)).await;
    disconnect(&store, &boards[3], world.in_seconds(1)).await;
    let more = [board(&mut world, restaurant), board(&mut world, restaurant)];
    for (more, gone) in more.iter().zip([3, 7]) {
        record(&store, std::slice::from_ref(more), world.now()).await;
        let kept: BTreeSet<_> = devices(&store, restaurant, world.now()).await.into_iter().collect();
        assert_eq!(kept.len(), MAX_BOARDS);
        assert!(kept.contains(&more.key.device_id) && !kept.contains(&boards[gone].key.device_id));
    }
    assert_eq!(devices(&store, other, world.now()).await.len(), 1);
}

/// A connected board is never deleted, also with more connected boards than [`MAX_BOARDS`], and is listed first when the others
/// have left. Stale boards make place like disconnected ones.
pub async fn a_connected_board_makes_no_place(store: Arc<dyn Store>) {
    let mut world = World::new(315);
    let restaurant = world.restaurant_id();
    let oldest = board(&mut world, restaurant);
    let others: Vec<_> = (0..MAX_BOARDS).map(|_| board(&mut world, restaurant)).collect();
    let now = world.now();
    record(&store, std::slice::from_ref(&oldest), now).await;
    record(&store, &others, now + SECOND).await;
    assert_eq!(devices(&store, restaurant, now + SECOND).await.len(), MAX_BOARDS);
    for other in &others {
        disconnect(&store, other, now + SECOND * 2).await;
    }
    let left_at = now + SECOND * 2;
    assert_eq!(devices(&store, restaurant, left_at).await[0], oldest.key.device_id);
    assert_eq!(since(&store, restaurant, left_at).await, None, "a board is connected");

    // The boards of a server that died are recorded as connected.
    let revived: Vec<_> = others.iter().map(|board| reconnected(&mut world, board)).collect();
    let died_at = now + SECOND * 30;
    record(&store, &revived, died_at).await;
    let renewed_at = died_at + BOARD_STALE_AFTER - SECOND;
    record(&store, std::slice::from_ref(&oldest), renewed_at).await;
    let (latest, stale_at) = (board(&mut world, restaurant), died_at + BOARD_STALE_AFTER);
    record(&store, std::slice::from_ref(&latest), stale_at).await;
    let listed = devices(&store, restaurant, stale_at).await;
    assert_eq!(listed[..2], [latest.key.device_id, oldest.key.device_id]);
    let checked = check(&store, stale_at + CONNECTED_BOARD_CHECK).await.checked;
    assert_eq!(usize::try_from(checked), Ok(MAX_BOARDS), "two stale boards have made place");
}

/// Restaurants without boards are omitted, and more restaurants than the maximum are refused.
pub async fn attendance_is_read_for_many_restaurants(store: Arc<dyn Store>) {
    let mut world = World::new(305);
    let ids: Vec<RestaurantId> = (0..8).map(|_| world.restaurant_id()).collect();
    let mut expected = BTreeSet::new();
    for (index, id) in ids.iter().enumerate().skip(2) {
        let board = board(&mut world, *id);
        record(&store, std::slice::from_ref(&board), world.now()).await;
        if index % 2 == 0 {
            let ended_at = world.tick();
            disconnect(&store, &board, ended_at).await;
            expected.insert((*id, Some(ended_at)));
        } else {
            expected.insert((*id, None));
        }
    }
    let now = world.now();
    let found = store.attendance(&ids, now).await.unwrap();
    let found: BTreeSet<_> =
        found.iter().map(|found| (found.restaurant_id, found.unattended_since(now))).collect();
    assert_eq!(found, expected);
    assert_eq!(store.attendance(&[], now).await.unwrap(), []);
    let refused = store.attendance(&vec![ids[0]; MAX_REVISIONS + 1], now).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
}

/// A check finds a restaurant from the limit on, again and again, and not while a board is connected.
pub async fn an_unattended_restaurant_is_found_after_the_limit(store: Arc<dyn Store>) {
    let mut world = World::new(306);
    let (restaurant, first, ended_at) = unattended(&store, &mut world).await;
    let (id, due_at) = (restaurant.id, ended_at + LIMIT);
    assert_eq!(found(&store, ended_at).await, [], "it is not due yet");
    assert_eq!(check(&store, due_at - SECOND).await.checked, 0, "the check is due at the limit");
    let checked = check(&store, due_at).await;
    assert_eq!(checked.unattended, [(restaurant.clone(), ended_at)]);
    assert_eq!(check(&store, due_at + UNATTENDED_RECHECK - SECOND).await.checked, 0);
    assert_eq!(found(&store, due_at + UNATTENDED_RECHECK).await, [(id, ended_at)]);

    let second = board(&mut world, id);
    let connected_at = due_at + UNATTENDED_RECHECK * 2;
    record(&store, std::slice::from_ref(&second), connected_at).await;
    assert_eq!(found(&store, connected_at).await, [], "a board is connected");
    let again_at = connected_at + SECOND;
    disconnect(&store, &second, again_at).await;
    assert_eq!(found(&store, again_at).await, []);
    assert_eq!(found(&store, again_at + LIMIT).await, [(id, again_at)]);

    // A check by a server that pauses no restaurant leaves the board to the servers that do.
    record(&store, std::slice::from_ref(&first), again_at + LIMIT).await;
    disconnect(&store, &first, again_at + LIMIT).await;
    let later = again_at + LIMIT * 4;
    let without = BoardCheck { now: later, pause_after: None, limit: 100 };
    assert_eq!(store.check_boards(&without).await.unwrap(), CheckedBoards::default());
    assert_eq!(found(&store, later).await, [(id, again_at + LIMIT)]);
}

/// The first check marks a stale board as disconnected, and a later one finds its restaurant: in between, a server that lives
/// renews the board. So an outage of the database pauses no restaurant.
pub async fn a_stale_board_gets_a_second_chance(store: Arc<dyn Store>) {
    let mut world = World::new(307);
    let (abandoned, renewed) = (created(&store, &mut world).await, created(&store, &mut world).await);
    let boards = [board(&mut world, abandoned.id), board(&mut world, renewed.id)];
    let seen_at = world.now();
    for board in &boards {
        record(&store, std::slice::from_ref(board), seen_at).await;
    }
    let much_later = seen_at + LIMIT * 3;
    let checked = check(&store, much_later).await;
    assert_eq!((checked.checked, checked.unattended), (2, Vec::new()));
    assert!(!only(&store, renewed.id, much_later).await.is_recorded_connected);
    record(&store, &boards[1..], much_later + SECOND).await;
    assert_eq!(check(&store, much_later + BOARD_STALE_AFTER - SECOND).await.checked, 0);
    assert_eq!(found(&store, much_later + BOARD_STALE_AFTER).await, [(abandoned.id, seen_at)]);
    let later = much_later + BOARD_STALE_AFTER;
    assert!(only(&store, renewed.id, later).await.is_connected_at(later));
}

/// A renewal postpones the check of a connected board only if the check would be due before the board is stale. A board that has
/// connected again is checked as early as a new one.
pub async fn renewals_rarely_postpone_the_check(store: Arc<dyn Store>) {
    let mut world = World::new(313);
    let restaurant = created(&store, &mut world).await.id;
    let board = board(&mut world, restaurant);
    let begin = world.now();
    let due_at = begin + CONNECTED_BOARD_CHECK;
    let kept_until = due_at - BOARD_STALE_AFTER;
    for at in [begin, begin + SECOND * 30, kept_until] {
        record(&store, std::slice::from_ref(&board), at).await;
        assert_eq!(check(&store, due_at - SECOND).await.checked, 0, "{at}");
    }
    assert_eq!(check(&store, due_at).await.checked, 1, "no renewal postponed the check");
    // The check has marked the board as disconnected. A renewal connects it again.
    let renewed_at = due_at + SECOND;
    let kept_until = renewed_at + CONNECTED_BOARD_CHECK - BOARD_STALE_AFTER;
    for at in [renewed_at, kept_until + SECOND] {
        record(&store, std::slice::from_ref(&board), at).await;
    }
    let due_at = kept_until + SECOND + CONNECTED_BOARD_CHECK;
    assert_eq!(check(&store, due_at - SECOND).await.checked, 0, "a renewal postponed the check");
    assert_eq!(check(&store, due_at).await.checked, 1);
}

/// Postponed checks are due at their new time, and those that are due later stay.
pub async fn checks_are_postponed(store: Arc<dyn Store>) {
    let mut world = World::new(314);
    let (restaurant, _, ended_at) = unattended(&store, &mut world).await;
    let (other, _, other_ended_at) = unattended(&store, &mut world).await;
    let until = other_ended_at + LIMIT * 3;
    store.postpone_board_checks(restaurant.id, until).await.unwrap();
    store.postpone_board_checks(restaurant.id, until - SECOND).await.unwrap();
    assert_eq!(found(&store, until - SECOND).await, [(other.id, other_ended_at)]);
    assert_eq!(found(&store, until).await, [(restaurant.id, ended_at)]);
    store.postpone_board_checks(world.restaurant_id(), until).await.unwrap();
}

/// The rows of boards that were not connected for [`BOARD_KEPT_FOR`] are deleted.
pub async fn old_boards_are_deleted(store: Arc<dyn Store>) {
    let mut world = World::new(308);
    let restaurant = created(&store, &mut world).await.id;
    let (old, present) = (board(&mut world, restaurant), board(&mut world, restaurant));
    record(&store, std::slice::from_ref(&old), world.now()).await;
    let ended_at = world.tick();
    disconnect(&store, &old, ended_at).await;
    let forgotten_at = ended_at + BOARD_KEPT_FOR;
    record(&store, std::slice::from_ref(&present), ended_at + SECOND).await;
    check(&store, ended_at + SECOND).await;
    assert_eq!(devices(&store, restaurant, ended_at + SECOND).await.len(), 2);
    record(&store, std::slice::from_ref(&present), forgotten_at).await;
    check(&store, forgotten_at).await;
    assert_eq!(only(&store, restaurant, forgotten_at).await.device_id, present.key.device_id);

    disconnect(&store, &present, forgotten_at).await;
    let end = forgotten_at + BOARD_KEPT_FOR;
    assert_eq!(since(&store, restaurant, end - SECOND).await, Some(forgotten_at));
    assert_eq!(since(&store, restaurant, end).await, None, "it is forgotten");
    while check(&store, end).await.checked > 0 {}
    assert_eq!(store.boards(restaurant, end).await.unwrap(), []);
    assert_eq!(store.attendance(&[restaurant], end).await.unwrap(), []);
}

/// Concurrent checks check each due board once, and a check not more than the requested number.
pub async fn due_boards_are_checked_once(store: Arc<dyn Store>) {
    const BOARDS: u32 = 12;
    let mut world = World::new(309);
    let mut last = world.now();
    for _ in 0..BOARDS {
        (_, _, last) = unattended(&store, &mut world).await;
    }
    let now = last + LIMIT;
    let limited = BoardCheck { now, pause_after: Some(LIMIT), limit: 5 };
    let checked = store.check_boards(&limited).await.unwrap();
    assert!((1..=5).contains(&checked.checked), "{checked:?}");
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let store = Arc::clone(&store);
        running.spawn(async move {
            // Concurrent checks may exhaust the attempts of a store; the caller repeats.
            loop {
                let check = BoardCheck { now, pause_after: Some(LIMIT), limit: 100 };
                if let Ok(checked) = store.check_boards(&check).await {
                    return checked;
                }
            }
        });
    }
    let all: Vec<CheckedBoards> = running.join_all().await.into_iter().chain([checked]).collect();
    assert_eq!(all.iter().map(|checked| checked.checked).sum::<u32>(), BOARDS);
    let found: Vec<_> =
        all.iter().flat_map(|checked| &checked.unattended).map(|(restaurant, _)| restaurant.id).collect();
    assert_eq!(found.len(), found.iter().collect::<BTreeSet<_>>().len(), "{found:?}");
    assert_eq!(found.len(), BOARDS as usize);
}

/// Dabba pauses an unattended restaurant once. It pauses the restaurant again only after a board was connected.
pub async fn an_unattended_restaurant_is_paused_once(store: Arc<dyn Store>) {
    let mut world = World::new(310);
    let (restaurant, board, ended_at) = unattended(&store, &mut world).await;
    let (id, now) = (restaurant.id, ended_at + LIMIT);
    let stale = store.pause_unattended(&paused(&restaurant), 7, ended_at).await.unwrap();
    assert_eq!(stale, Some(CatalogueUpdate::Conflict { current: restaurant.revision }));
    assert_eq!(found(&store, now).await, [(id, ended_at)], "nothing was written");
    let revision = restaurant.revision + 1;
    let done = store.pause_unattended(&paused(&restaurant), restaurant.revision, ended_at).await.unwrap();
    assert_eq!(done, Some(CatalogueUpdate::Done { revision }));
    let stored = store.catalogue(id).await.unwrap().unwrap().restaurant;
    assert_eq!(stored, Restaurant { revision, ..paused(&restaurant) });

    // A person resumes the restaurant, and Dabba leaves it alone.
    let resumed = Restaurant { pause: None, ..stored.clone() };
    let update = store.update_restaurant(&resumed, revision).await.unwrap();
    assert_eq!(update, CatalogueUpdate::Done { revision: revision + 1 });
    assert_eq!(found(&store, now + UNATTENDED_RECHECK * 5).await, []);
    assert_eq!(store.pause_unattended(&paused(&resumed), revision + 1, ended_at).await.unwrap(), None);

    let connected_at = now + UNATTENDED_RECHECK * 6;
    assert_eq!(record(&store, std::slice::from_ref(&board), connected_at).await, [], "it is not paused");
    disconnect(&store, &board, connected_at).await;
    assert_eq!(found(&store, connected_at + LIMIT).await, [(id, connected_at)]);
    let again = store.pause_unattended(&paused(&resumed), revision + 1, connected_at).await.unwrap();
    assert_eq!(again, Some(CatalogueUpdate::Done { revision: revision + 2 }));
    let connected_at = connected_at + LIMIT + SECOND;
    assert_eq!(
        record(&store, std::slice::from_ref(&board), connected_at).await,
        [id],
        "Dabba's pause is reported"
    );
    let by_person = Restaurant { pause: Some(Pause::by_person(None)), ..resumed };
    store.update_restaurant(&by_person, revision + 2).await.unwrap();
    assert_eq!(
        record(&store, std::slice::from_ref(&board), connected_at).await,
        [],
        "a person's pause is not"
    );
}

/// A board that has connected in the meantime prevents the pause, and so does one that was connected after the time that the
/// caller knows. A restaurant without boards is not paused.
pub async fn an_attended_restaurant_is_not_paused(store: Arc<dyn Store>) {
    let mut world = World::new(311);
    let (restaurant, board, ended_at) = unattended(&store, &mut world).await;
    let now = ended_at + LIMIT;
    assert_eq!(found(&store, now).await, [(restaurant.id, ended_at)]);
    let pause =
        async || store.pause_unattended(&paused(&restaurant), restaurant.revision, ended_at).await.unwrap();
    record(&store, std::slice::from_ref(&board), now).await;
    assert_eq!(pause().await, None);
    disconnect(&store, &board, now + SECOND).await;
    assert_eq!(pause().await, None);
    let without = created(&store, &mut world).await;
    assert_eq!(store.pause_unattended(&paused(&without), 1, ended_at).await.unwrap(), None);
    let stored = store.catalogue(restaurant.id).await.unwrap().unwrap().restaurant;
    assert_eq!(stored, restaurant);
}

/// Of many concurrent pauses of a restaurant, one is written.
pub async fn one_of_many_concurrent_pauses_succeeds(store: Arc<dyn Store>) {
    let mut world = World::new(312);
    let (restaurant, _, ended_at) = unattended(&store, &mut world).await;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (store, restaurant) = (Arc::clone(&store), restaurant.clone());
        running.spawn(async move {
            loop {
                let paused =
                    store.pause_unattended(&paused(&restaurant), restaurant.revision, ended_at).await;
                if let Ok(outcome) = paused {
                    return outcome;
                }
            }
        });
    }
    let outcomes = running.join_all().await;
    let done = |outcome: &&Option<CatalogueUpdate>| matches!(outcome, Some(CatalogueUpdate::Done { .. }));
    assert_eq!(outcomes.iter().filter(done).count(), 1, "{outcomes:?}");
    let stored = store.catalogue(restaurant.id).await.unwrap().unwrap().restaurant;
    assert_eq!(stored.revision, restaurant.revision + 1);
}
