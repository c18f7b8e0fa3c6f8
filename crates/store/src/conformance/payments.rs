//! Orders by card: the events of a payment provider are stored as exactly as all others (I4).

use std::sync::Arc;

use dabba_domain::{
    Actor,
    order::{
        CancelReason, Command, DeclineReason, Order, OrderStatus, PaymentReference, PaymentReport,
        PaymentStatus, RefundBearer, RefundFailureReason, RefundLine, RefundNumber, RefundReason,
        RefundRequest, RefundStatus, decide,
    },
    text::Note,
};

use super::{
    builders::{World, amount, customer, settings, staff},
    history::commit_and_compare,
};
use crate::{OrderQuery, OrderScope, PageSize, Store};

/// An order by card, and the provider's reference of its payment.
struct Scene<'a> {
    store: &'a Arc<dyn Store>,
    world: World,
    order: Order,
    reference: PaymentReference,
}

impl<'a> Scene<'a> {
    async fn new(store: &'a Arc<dyn Store>, mut world: World) -> Self {
        let (restaurant, account) = (world.restaurant_id(), world.account_id());
        let placed = world.place_card(restaurant, account);
        let reference = world.payment_reference();
        let order = commit_and_compare(store, placed).await;
        Self { store, world, order, reference }
    }

    /// Returns an order whose payment is authorized.
    async fn confirmed(store: &'a Arc<dyn Store>, world: World) -> Self {
        let mut scene = Self::new(store, world).await;
        scene.report(&scene.authorized()).await;
        scene
    }

    /// Returns an order that is delivered and paid.
    async fn delivered(store: &'a Arc<dyn Store>, world: World) -> Self {
        let mut scene = Self::confirmed(store, world).await;
        scene.command(&accept(), &staff(&scene.order)).await;
        scene.report(&scene.captured()).await;
        let courier_id = scene.world.account_id();
        let courier = Actor::Courier { account_id: courier_id };
        scene.command(&Command::assign(courier_id), &courier).await;
        scene.command(&Command::MarkReady, &staff(&scene.order)).await;
        scene.command(&Command::PickUp, &courier).await;
        scene.command(&Command::deliver(), &courier).await;
        scene
    }

    fn authorized(&self) -> PaymentReport {
        PaymentReport::Authorized { reference: self.reference.clone() }
    }

    fn captured(&self) -> PaymentReport {
        PaymentReport::Captured { reference: self.reference.clone() }
    }

    fn voided(&self) -> PaymentReport {
        PaymentReport::Voided { reference: self.reference.clone() }
    }

    fn admin(&self) -> Actor {
        Actor::Admin { account_id: self.order.details.customer_id }
    }

    async fn report(&mut self, report: &PaymentReport) {
        let commit = self.world.settle(&self.order, report);
        self.order = commit_and_compare(self.store, commit).await;
    }

    async fn command(&mut self, command: &Command, actor: &Actor) {
        let commit = self.world.act(&self.order, command, actor);
        self.order = commit_and_compare(self.store, commit).await;
    }

    async fn expire(&mut self) {
        let deadline = self.order.deadline().unwrap();
        let decision = decide(&self.order, &Command::Expire, &Actor::System, &settings(), deadline);
        let commit = self.world.commit(decision.unwrap(), self.order.version);
        self.order = commit_and_compare(self.store, commit).await;
    }

    fn ended(self, status: OrderStatus, payment_status: PaymentStatus) {
        assert_eq!((self.order.status, self.order.payment_status), (status, payment_status));
    }
}

fn accept() -> Command {
    Command::Accept { preparation_minutes: 20 }
}

fn cancel() -> Command {
    Command::cancel(CancelReason::Other)
}

fn paid(number: u32) -> PaymentReport {
    PaymentReport::Refunded { number: RefundNumber::new(number).unwrap() }
}

fn refused(number: u32) -> PaymentReport {
    PaymentReport::RefundRefused {
        number: RefundNumber::new(number).unwrap(),
        reason: RefundFailureReason::Declined,
    }
}

/// After each step of placing, authorizing, warning, accepting, capturing, cancelling and refunding, the stored order
/// equals the decided order and the fold of its events, and lists return it.
pub async fn an_order_by_card_is_stored_exactly_through_its_whole_life(store: Arc<dyn Store>) {
    let mut scene = Scene::confirmed(&store, World::new(91)).await;
    scene.command(&Command::Warn, &Actor::System).await;
    scene.command(&accept(), &staff(&scene.order)).await;
    scene.report(&scene.captured()).await;
    scene.command(&cancel(), &scene.admin()).await;
    assert_eq!(scene.order.refunds[0].status, RefundStatus::Pending);
    let query = OrderQuery {
        scope: OrderScope::Customer(scene.order.details.customer_id),
        statuses: Vec::new(),
        limit: PageSize::new(10).unwrap(),
        after: None,
    };
    assert_eq!(store.list_orders(&query).await.unwrap().orders, [scene.order.clone()]);
    scene.report(&paid(1)).await;
    assert_eq!(store.list_orders(&query).await.unwrap().orders, [scene.order.clone()]);
    scene.ended(OrderStatus::Refunded, PaymentStatus::Refunded);
}

/// Orders that end early without a payment are stored exactly: declined, cancelled, voided, never requested, captured
/// too late.
pub async fn an_order_by_card_that_ends_early_is_stored_exactly(store: Arc<dyn Store>) {
    for reason in DeclineReason::ALL {
        let world = World::new(920 + u64::from(*reason as u8));
        let mut scene = Scene::new(&store, world).await;
        scene.report(&PaymentReport::Declined { reason: *reason }).await;
        scene.ended(OrderStatus::Cancelled, PaymentStatus::Failed);
    }
    let mut scene = Scene::confirmed(&store, World::new(93)).await;
    scene.report(&scene.voided()).await;
    scene.ended(OrderStatus::Cancelled, PaymentStatus::Failed);

    let mut scene = Scene::confirmed(&store, World::new(94)).await;
    scene.command(&cancel(), &customer(&scene.order)).await;
    scene.report(&scene.voided()).await;
    scene.ended(OrderStatus::Cancelled, PaymentStatus::Voided);

    let mut scene = Scene::confirmed(&store, World::new(95)).await;
    scene.command(&accept(), &staff(&scene.order)).await;
    scene.report(&scene.voided()).await;
    scene.ended(OrderStatus::Preparing, PaymentStatus::Voided);

    let mut scene = Scene::new(&store, World::new(96)).await;
    scene.expire().await;
    scene.report(&PaymentReport::NeverRequested).await;
    scene.ended(OrderStatus::Cancelled, PaymentStatus::Voided);

    // The capture is reported after the order's end, and is refunded.
    let mut scene = Scene::new(&store, World::new(97)).await;
    scene.expire().await;
    scene.report(&scene.captured()).await;
    scene.report(&refused(1)).await;
    scene.ended(OrderStatus::Cancelled, PaymentStatus::Captured);
}

/// Reversed refunds of a delivered and of a cancelled order are stored exactly: status and amounts go back with them.
pub async fn a_refund_that_is_reversed_is_stored_exactly(store: Arc<dyn Store>) {
    let mut scene = Scene::delivered(&store, World::new(980)).await;
    let admin = scene.admin();
    scene.command(&Command::Refund(RefundRequest::new(Some(amount(1)), RefundReason::Late)), &admin).await;
    scene.report(&paid(1)).await;
    scene.command(&Command::Refund(RefundRequest::new(None, RefundReason::Late)), &admin).await;
    scene.report(&paid(2)).await;
    assert_eq!(scene.order.status, OrderStatus::Refunded);
    scene.report(&refused(2)).await;
    assert_eq!((scene.order.status, scene.order.refunded), (OrderStatus::Delivered, amount(1)));
    scene.report(&refused(1)).await;
    scene.ended(OrderStatus::Delivered, PaymentStatus::Captured);

    let mut scene = Scene::confirmed(&store, World::new(981)).await;
    scene.command(&accept(), &staff(&scene.order)).await;
    scene.report(&scene.captured()).await;
    scene.command(&cancel(), &scene.admin()).await;
    scene.report(&paid(1)).await;
    scene.report(&refused(1)).await;
    assert_eq!(scene.order.refunds[0].status, RefundStatus::Reversed);
    scene.command(&Command::Refund(RefundRequest::new(None, RefundReason::Other)), &scene.admin()).await;
    scene.report(&paid(2)).await;
    scene.ended(OrderStatus::Refunded, PaymentStatus::Refunded);
}

/// Refunds are stored exactly: with lines, bearers and notes; pending, refused, requested again and paid.
pub async fn refunds_are_stored_exactly(store: Arc<dyn Store>) {
    let mut scene = Scene::delivered(&store, World::new(98)).await;
    let note = Some(Note::new("it's \"cold\"\n\\ 🥶").unwrap());
    let (admin, staff) = (scene.admin(), staff(&scene.order));
    let lines = vec![RefundLine { line: 1, quantity: 1 }, RefundLine { line: 0, quantity: 1 }];
    let of_lines = RefundRequest { lines, note, ..RefundRequest::new(None, RefundReason::WrongItem) };
    let mut number = 0;
    for borne_by in RefundBearer::ALL {
        let request = RefundRequest { borne_by: Some(*borne_by), ..of_lines.clone() };
        scene.command(&Command::Refund(request), &admin).await;
        number += 1;
        scene.report(&refused(number)).await;
    }
    scene.command(&Command::Refund(of_lines), &staff).await;
    scene.command(&Command::Refund(RefundRequest::new(Some(amount(1)), RefundReason::Late)), &staff).await;
    scene.report(&paid(number + 2)).await;
    scene.report(&paid(number + 1)).await;
    assert_eq!(scene.order.payment_status, PaymentStatus::PartiallyRefunded);
    scene.command(&Command::Refund(RefundRequest::new(None, RefundReason::Other)), &admin).await;
    scene.report(&paid(number + 3)).await;
    scene.ended(OrderStatus::Refunded, PaymentStatus::Refunded);
}
