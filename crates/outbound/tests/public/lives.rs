//! Events that decisions of the domain caused: scripted lives with every type of event, and random lives.

use std::collections::BTreeMap;

use dabba_domain::{
    AccountId, Actor, Currency, Money,
    menu::UnavailableItem,
    order::{
        CancelReason, ChargebackOutcome, Command, CommandKind, DeclineReason, Event, Fulfilment,
        InterventionReason, Order, OrderDetails, OrderStatus, PaymentMethod, PaymentReference, PaymentReport,
        RecordedEvent, RefundBearer, RefundFailureReason, RefundLine, RefundNumber, RefundReason,
        RefundRequest, RejectReason, allowed_actions, decide, settle,
    },
    text::{Name, Note},
};
use dabba_store::{
    FeedEvent, FeedPosition,
    conformance::builders::{World, amount, customer, draw, order_of, reference_of, settings, slug},
};
use serde_json::Value;

/// Returns a recorded event in the form in which a store's feed returns it.
pub(crate) fn feed_event(order: &OrderDetails, recorded: &RecordedEvent) -> FeedEvent {
    let stored = serde_json::to_value(&recorded.event).unwrap();
    let data = stored.get("data").filter(|data| *data != &serde_json::json!({}));
    FeedEvent {
        position: FeedPosition { transaction: 740, sequence: u64::from(recorded.version) },
        order_id: recorded.order_id,
        restaurant_id: order.restaurant_id,
        customer_id: order.customer_id,
        version: recorded.version,
        at: recorded.at,
        name: recorded.event.name().into(),
        actor: serde_json::to_string(&recorded.actor).unwrap().into(),
        data: data.map(|data| data.to_string().into()),
        is_newer: false,
    }
}

/// An order and its history so far.
struct Life {
    order: Order,
    events: Vec<RecordedEvent>,
}

impl Life {
    fn place(world: &mut World, details: OrderDetails) -> Self {
        let commit = world.place_with(details);
        Self { order: order_of(&commit), events: commit.change.unwrap().events }
    }

    fn act(&mut self, world: &mut World, command: &Command, actor: Actor) -> &mut Self {
        let change = world.act(&self.order, command, &actor).change.unwrap();
        self.order = change.order;
        self.events.extend(change.events);
        self
    }

    fn settle(&mut self, world: &mut World, report: &PaymentReport) -> &mut Self {
        let change = world.settle(&self.order, report).change.unwrap();
        self.order = change.order;
        self.events.extend(change.events);
        self
    }

    fn feed(&self) -> Vec<FeedEvent> {
        self.events.iter().map(|recorded| feed_event(&self.order.details, recorded)).collect()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the commands take an optional note")]
fn note(text: &str) -> Option<Note> {
    Some(Note::new(text).unwrap())
}

/// The actors of the scripted lives.
struct Cast {
    customer: AccountId,
    staff: AccountId,
    courier: Actor,
    admin: Actor,
}

/// Returns the details of an order that draws from limited stock.
fn details(world: &mut World, cast: &Cast, method: PaymentMethod) -> OrderDetails {
    let restaurant = world.restaurant_id();
    let terms = match method {
        PaymentMethod::Cash => world.details(restaurant, cast.customer),
        PaymentMethod::Card => world.details_by_card(restaurant, cast.customer),
    };
    OrderDetails { stock_drawn: vec![draw("naan", 1)], ..terms }
}

fn staff_of(life: &Life, cast: &Cast) -> Actor {
    Actor::Restaurant { account_id: cast.staff, restaurant_id: life.order.details.restaurant_id }
}

/// A cash order that an admin brings to its end and refunds.
fn delivery(world: &mut World, cast: &Cast) -> Life {
    let details = details(world, cast, PaymentMethod::Cash);
    let mut life = Life::place(world, details);
    let staff = staff_of(&life, cast);
    let Actor::Courier { account_id: courier_id } = cast.courier else { panic!("a courier") };
    let stand_in = world.account_id();
    let reason = Some(InterventionReason::CourierUnable);
    life.act(world, &Command::Warn, Actor::System)
        .act(world, &Command::Accept { preparation_minutes: 25 }, staff)
        .act(world, &Command::assign(courier_id), cast.courier)
        .act(world, &Command::MarkReady, staff)
        .act(world, &Command::PickUp, cast.courier);
    let note = note("The bicycle broke down.");
    life.act(world, &Command::AssignCourier { courier_id: stand_in, reason, note: note.clone() }, cast.admin);
    let reason = Some(InterventionReason::CustomerConfirmed);
    life.act(world, &Command::Deliver { reason, note }, cast.admin);
    let request = RefundRequest {
        lines: vec![RefundLine { line: 1, quantity: 1 }],
        note: Some(Note::new("The naan was missing.").unwrap()),
        ..RefundRequest::new(None, RefundReason::MissingItem)
    };
    life.act(world, &Command::Refund(request), staff);
    life
}

/// A card order that is authorized, accepted and captured.
fn captured(world: &mut World, cast: &Cast) -> Life {
    let details = details(world, cast, PaymentMethod::Card);
    let mut life = Life::place(world, details);
    let (staff, reference) = (staff_of(&life, cast), reference_of(&life.order));
    life.settle(world, &PaymentReport::Authorized { reference: reference.clone() })
        .act(world, &Command::Accept { preparation_minutes: 25 }, staff)
        .settle(world, &PaymentReport::Captured { reference });
    life
}

/// Card orders whose payments end in every way.
fn payments(world: &mut World, cast: &Cast) -> Vec<Life> {
    let authorized_only = |world: &mut World, report: &dyn Fn(PaymentReference) -> PaymentReport| {
        let details = details(world, cast, PaymentMethod::Card);
        let mut life = Life::place(world, details);
        let report = report(reference_of(&life.order));
        life.settle(world, &report);
        life
    };
    let declined =
        authorized_only(world, &|_| PaymentReport::Declined { reason: DeclineReason::InsufficientFunds });
    let mut voided = authorized_only(world, &|reference| PaymentReport::Authorized { reference });
    let (by_customer, reference) = (customer(&voided.order), reference_of(&voided.order));
    voided
        .act(world, &Command::cancel(CancelReason::ChangedMind), by_customer)
        .settle(world, &PaymentReport::Voided { reference });
    let differs = authorized_only(world, &|reference| PaymentReport::AuthorizedAmount {
        reference,
        money: Money { amount: amount(1_700), currency: Currency::from_code("GBP").unwrap() },
    });
    vec![declined, voided, differs]
}

/// Card orders whose captured payment goes back in every way.
fn refunds(world: &mut World, cast: &Cast) -> Vec<Life> {
    let refused = |number| PaymentReport::RefundRefused { number, reason: RefundFailureReason::CardClosed };
    let first = RefundNumber::MIN;
    let mut failed = captured(world, cast);
    let by_staff = staff_of(&failed, cast);
    let items = vec![UnavailableItem { item: slug("naan"), until: Some(world.in_seconds(7_200)) }];
    let reason = CancelReason::ItemUnavailable;
    let command = Command::Cancel { reason, note: note("No bread left today."), items };
    failed.act(world, &command, by_staff).settle(world, &refused(first));

    let mut reversed = captured(world, cast);
    let command = Command::Cancel {
        reason: CancelReason::NoCourier,
        note: note("Nobody is free within an hour."),
        items: Vec::new(),
    };
    reversed
        .act(world, &command, cast.admin)
        .settle(world, &PaymentReport::Refunded { number: first })
        .settle(world, &refused(first));
    let request = RefundRequest {
        note: note("Second try, agreed by telephone."),
        borne_by: Some(RefundBearer::Platform),
        ..RefundRequest::new(Some(amount(500)), RefundReason::Other)
    };
    reversed.act(world, &Command::Refund(request), cast.admin);

    let chargeback = |world: &mut World, last: ChargebackOutcome| {
        let mut life = captured(world, cast);
        let (payment, reference) = (reference_of(&life.order), world.payment_reference());
        let money = Money { amount: life.order.captured, currency: life.order.details.currency };
        for outcome in [ChargebackOutcome::Open, last] {
            let (payment, reference) = (payment.clone(), reference.clone());
            life.settle(world, &PaymentReport::Chargeback { payment, reference, money, outcome });
        }
        life
    };
    let (lost, won) = (chargeback(world, ChargebackOutcome::Lost), chargeback(world, ChargebackOutcome::Won));
    let mut by_hand = captured(world, cast);
    let (payment, reference) = (reference_of(&by_hand.order), world.payment_reference());
    let money = Money { amount: amount(900), currency: Currency::from_code("EUR").unwrap() };
    by_hand.settle(world, &PaymentReport::ExternalRefund { payment, reference, money });
    vec![failed, reversed, lost, won, by_hand]
}

/// Orders that end without a delivery.
fn early_ends(world: &mut World, cast: &Cast) -> Vec<Life> {
    let terms = details(world, cast, PaymentMethod::Cash);
    let mut rejected = Life::place(world, terms);
    let (staff, item) = (staff_of(&rejected, cast), slug("onion-bhaji"));
    let command = Command::Reject {
        reason: RejectReason::ItemUnavailable,
        note: note("We ran out of onions."),
        items: vec![UnavailableItem { item, until: None }],
    };
    rejected.act(world, &command, staff);
    let terms = details(world, cast, PaymentMethod::Cash);
    let collected = OrderDetails { fulfilment: Fulfilment::Collection, contact: None, note: None, ..terms };
    let mut expired = Life::place(world, collected);
    let deadline = expired.order.acceptance_deadline.unwrap();
    let decision = decide(&expired.order, &Command::Expire, &Actor::System, &settings(), deadline).unwrap();
    expired.events.extend(decision.events);
    vec![rejected, expired]
}

/// Returns the events of lives in which every type of event happens.
pub(crate) fn scripted() -> Vec<FeedEvent> {
    let mut world = World::new(90);
    let cast = Cast {
        customer: world.account_id(),
        staff: world.account_id(),
        courier: Actor::Courier { account_id: world.account_id() },
        admin: Actor::Admin { account_id: world.account_id() },
    };
    let mut lives = vec![delivery(&mut world, &cast)];
    lives.extend(payments(&mut world, &cast));
    lives.extend(refunds(&mut world, &cast));
    lives.extend(early_ends(&mut world, &cast));
    lives.iter().flat_map(Life::feed).collect()
}

/// Returns one event of each type: the first one with the most content.
pub(crate) fn examples() -> BTreeMap<&'static str, FeedEvent> {
    let mut examples: BTreeMap<&'static str, FeedEvent> = BTreeMap::new();
    let members = |event: &FeedEvent| {
        let data: Option<Value> = event.data.as_deref().map(|data| serde_json::from_str(data).unwrap());
        data.and_then(|data| data.as_object().map(serde_json::Map::len)).unwrap_or(0)
    };
    for event in scripted() {
        let name = Event::NAMES.iter().copied().find(|name| **name == *event.name).unwrap();
        let is_better = examples.get(name).is_none_or(|known| members(known) < members(&event));
        if is_better {
            examples.insert(name, event);
        }
    }
    examples
}

/// A text or a number that only some audiences may see: the letters of the audiences, as in the table.
pub(crate) struct Marker {
    pub(crate) text: String,
    pub(crate) letters: &'static str,
}

/// A random life whose private values are unique.
pub(crate) struct RandomLife {
    pub(crate) events: Vec<FeedEvent>,
    pub(crate) markers: Vec<Marker>,
}

/// Returns the details of an order with unique values in the fields that are private.
fn marked_details(world: &mut World, markers: &mut Vec<Marker>) -> OrderDetails {
    let (restaurant, account) = (world.restaurant_id(), world.account_id());
    markers.push(Marker { text: account.to_string(), letters: "CO" });
    let mut details = match world.below(2) {
        0 => world.details_by_card(restaurant, account),
        _ => world.details(restaurant, account),
    };
    if world.below(4) == 0 {
        details.fulfilment = Fulfilment::Collection;
    }
    details.note = Some(marked(world, markers, "CRO"));
    if let Some(contact) = &mut details.contact {
        contact.name = Name::new(marked(world, markers, "CRKO").as_str()).unwrap();
    }
    if let Fulfilment::Delivery { address } = &mut details.fulfilment {
        address.line1 = Name::new(marked(world, markers, "CRKO").as_str()).unwrap();
        address.instructions = Some(marked(world, markers, "CRKO"));
    }
    details.lines[0].note = Some(marked(world, markers, "CRO"));
    details.stock_drawn = vec![draw("naan", 1)];
    details
}

/// Returns the actors of a random life.
fn marked_actors(world: &mut World, markers: &mut Vec<Marker>, order: &Order) -> [Actor; 5] {
    let mut account = |letters| {
        let account_id = world.account_id();
        markers.push(Marker { text: account_id.to_string(), letters });
        account_id
    };
    [
        Actor::customer(order.details.customer_id),
        Actor::Restaurant { account_id: account("O"), restaurant_id: order.details.restaurant_id },
        Actor::Courier { account_id: account("RO") },
        Actor::Admin { account_id: account("O") },
        Actor::System,
    ]
}

/// Returns a random life: in each state a random command that an actor may give, or a random report of the provider.
pub(crate) fn random(seed: u64) -> RandomLife {
    /// Number of attempts to change the order.
    const STEPS: usize = 20;
    let (mut world, mut markers) = (World::new(seed), Vec::new());
    let details = marked_details(&mut world, &mut markers);
    let mut life = Life::place(&mut world, details);
    let actors = marked_actors(&mut world, &mut markers, &life.order);
    markers.push(Marker { text: reference_of(&life.order).to_string(), letters: "O" });
    for _ in 0..STEPS {
        world.tick();
        let is_report = life.order.details.needs_provider() && world.below(2) == 0;
        let decision = if is_report {
            let report = report(&mut world, &mut markers, &life.order);
            settle(&life.order, &report, &settings(), world.now())
        } else {
            let Some((command, actor)) = step(&mut world, &mut markers, &life.order, &actors) else {
                continue;
            };
            decide(&life.order, &command, &actor, &settings(), world.now())
        };
        if let Ok(decision) = decision {
            life.order = decision.order;
            life.events.extend(decision.events);
        }
    }
    RandomLife { events: life.feed(), markers }
}

/// Returns a random command that one of the actors may give.
fn step(
    world: &mut World,
    markers: &mut Vec<Marker>,
    order: &Order,
    actors: &[Actor],
) -> Option<(Command, Actor)> {
    let possible: Vec<(CommandKind, Actor)> = actors
        .iter()
        .flat_map(|actor| {
            let allowed = allowed_actions(order, actor, settings().refund_limit);
            allowed.into_iter().map(|action| (action.command, *actor))
        })
        // An early end is chosen rarely.
        .filter(|(command, _)| *command != CommandKind::Cancel || world.below(4) == 0)
        .collect();
    if possible.is_empty() {
        return None;
    }
    let (kind, actor) = possible[world.below(possible.len())];
    let courier_id = actors.iter().find_map(|actor| match actor {
        Actor::Courier { account_id } => Some(*account_id),
        _ => None,
    })?;
    Some((command(world, markers, kind, &actor, order, courier_id), actor))
}

fn marked(world: &mut World, markers: &mut Vec<Marker>, letters: &'static str) -> Note {
    let text = format!("marker {:016x}", world.random());
    markers.push(Marker { text: text.clone(), letters });
    Note::new(&text).unwrap()
}

/// Returns a random report about a card order.
fn report(world: &mut World, markers: &mut Vec<Marker>, order: &Order) -> PaymentReport {
    let payment = reference_of(order);
    let money = Money { amount: amount(1 + i64::from(order.version)), currency: order.details.currency };
    let number = RefundNumber::MIN.saturating_add(u32::try_from(world.below(2)).unwrap());
    let outcomes = [ChargebackOutcome::Open, ChargebackOutcome::Lost, ChargebackOutcome::Won];
    let reason = RefundFailureReason::InsufficientFunds;
    match world.below(10) {
        0 | 1 => PaymentReport::Authorized { reference: payment },
        2 | 3 => PaymentReport::Captured { reference: payment },
        4 => PaymentReport::Declined { reason: DeclineReason::ExpiredCard },
        5 => PaymentReport::CapturedAmount { reference: payment, money },
        6 => PaymentReport::Refunded { number },
        7 => PaymentReport::RefundRefused { number, reason },
        8 => {
            let reference = world.payment_reference();
            markers.push(Marker { text: reference.to_string(), letters: "O" });
            PaymentReport::ExternalRefund { payment, reference, money }
        }
        _ => {
            let reference = world.payment_reference();
            markers.push(Marker { text: reference.to_string(), letters: "O" });
            PaymentReport::Chargeback { payment, reference, money, outcome: outcomes[world.below(3)] }
        }
    }
}

fn command(
    world: &mut World,
    markers: &mut Vec<Marker>,
    kind: CommandKind,
    actor: &Actor,
    order: &Order,
    courier_id: AccountId,
) -> Command {
    let is_admin = matches!(actor, Actor::Admin { .. });
    let steps_in = is_admin && order.status == OrderStatus::OutForDelivery;
    let reason = steps_in.then_some(InterventionReason::CourierUnreachable);
    // Only operations sees the words of an admin.
    let letters = if is_admin { "O" } else { "CRO" };
    let note = Some(marked(world, markers, letters));
    let admins_note = note.clone().filter(|_| steps_in);
    match kind {
        CommandKind::Confirm => Command::Confirm,
        CommandKind::Accept => Command::Accept { preparation_minutes: 10 },
        CommandKind::Reject => Command::Reject { reason: RejectReason::Other, note, items: Vec::new() },
        CommandKind::MarkReady => Command::MarkReady,
        CommandKind::AssignCourier => Command::AssignCourier { courier_id, reason, note: admins_note },
        CommandKind::PickUp => Command::PickUp,
        CommandKind::Deliver => Command::Deliver { reason, note: admins_note },
        CommandKind::Cancel => Command::Cancel { reason: CancelReason::Other, note, items: Vec::new() },
        CommandKind::Warn => Command::Warn,
        CommandKind::Expire => Command::Expire,
        CommandKind::Refund => {
            let part = order.refundable().minor() / 3;
            let share = (part > 0 && world.below(2) == 0).then(|| amount(part));
            Command::Refund(RefundRequest { note, ..RefundRequest::new(share, RefundReason::Late) })
        }
    }
}
