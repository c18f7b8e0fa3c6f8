//! Decisions on an order, and folding of its events.

use dabba_domain::{
    Actor, OrderId,
    order::{Command, OrderStatus, RecordedEvent, decide, fold, place},
};
use divan::{Bencher, black_box, counter::ItemsCount};

use crate::{
    CALLS,
    common::{courier, delivery, details, now, order, placed, restaurant, settings, staff},
    moves::{accept, act, assign},
};

/// Places an order in cash: its first two events and the tasks that follow.
#[divan::bench(sample_size = CALLS)]
fn placing(bencher: Bencher<'_, '_>) {
    let settings = settings();
    let now = now();
    let id = OrderId::generate(now, restaurant(1).bucket(), 99);
    bencher
        .with_inputs(|| details(delivery()))
        .bench_values(|details| place(black_box(id), details, None, black_box(&settings), now).unwrap());
}

/// Decides on a command of the restaurant that is allowed.
#[divan::bench(sample_size = CALLS)]
fn accepting(bencher: Bencher<'_, '_>) {
    let (settings, order, command, staff, now) = (settings(), order(delivery()), accept(), staff(), now());
    bencher.bench(|| {
        decide(black_box(&order), black_box(&command), black_box(&staff), black_box(&settings), now).unwrap()
    });
}

/// Folds all events of a delivered order. The counted items are events.
#[divan::bench(sample_size = CALLS)]
fn folding(bencher: Bencher<'_, '_>) {
    let history = delivered_history();
    bencher.counter(ItemsCount::new(history.len())).bench(|| fold(black_box(&history)).unwrap());
}

/// Returns all events of an order up to its delivery.
fn delivered_history() -> Vec<RecordedEvent> {
    let placed = placed(delivery());
    let (mut order, mut history) = (placed.order, placed.events);
    let steps: [(Actor, Command); 5] = [
        (courier(), assign()),
        (staff(), accept()),
        (staff(), Command::MarkReady),
        (courier(), Command::PickUp),
        (courier(), Command::deliver()),
    ];
    for (actor, command) in steps {
        let decision = act(&order, &actor, &command).unwrap();
        history.extend(decision.events);
        order = decision.order;
    }
    assert_eq!(order.status, OrderStatus::Delivered);
    history
}
