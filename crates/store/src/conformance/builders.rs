//! Restaurants, orders and commits for tests. The same seed produces exactly the same world.

use std::sync::Arc;

use dabba_domain::{
    AccountId, Actor, Amount, Bucket, Currency, OrderId, RestaurantId, Role, TaskId, Timestamp,
    fee::{Fee, FeeKind, FeeReceiver},
    menu::{CategoryDocument, ItemDocument, Menu, MenuDocument, PriceBy},
    order::{
        Address, Command, Contact, Decision, Fulfilment, Order, OrderDetails, OrderZone, PaymentMethod,
        PaymentReference, PaymentReport, PaymentToken, RecordedEvent, ReviewReason, StockDraw, TERMS_VERSION,
        decide, place, settle,
    },
    pricing::{Amounts, OptionRule, OrderFee, OrderLine, OrderLineOption, OrderTax, TaxShare, TaxedPart},
    restaurant::{
        DeliveryTerms, DeliveryZone, Location, OpeningHours, Restaurant, RestaurantSettings, Revision, Zone,
    },
    task::{Task, TaskSubject},
    tax::{Inclusion, Rate, Remitter, TaxRounding},
    text::{Name, Note, Phone, Slug},
};
use jiff::SignedDuration;

use crate::{
    Account, AccountChange, AccountEdit, AccountEditOutcome, AccountHolder, Change, Claim, Commit, FeedEvent,
    FeedPosition, Fingerprint, IdempotencyKey, MenuRevisions, NewTask, StockChange, Store, TaskLease,
};

/// Number of events in a page of [`feed_after`].
const FEED_PAGE: u32 = 100;

/// A seeded source of everything that a test needs: ids, times, restaurants, orders, commits.
///
/// The clock advances by slightly more than a millisecond with every id, so ids sort in creation order. Times
/// have digits down to the nanosecond, which a store must keep.
#[derive(Clone, Debug)]
pub struct World {
    state: u64,
    now: Timestamp,
    /// Number of restaurant ids generated so far.
    restaurants: u16,
}

impl World {
    /// Time by which the clock advances with each id.
    const STEP: SignedDuration = SignedDuration::from_nanos(1_234_567);
    /// Number of buckets in a third of all buckets. A restaurant's bucket comes from one of the thirds.
    const THIRD: u16 = Bucket::COUNT / 3;

    /// Creates the world of a seed. Worlds with different seeds have different ids.
    pub fn new(seed: u64) -> Self {
        // 1 March 2026, 18:30 UTC, plus some nanoseconds.
        let now = Timestamp::new(1_772_389_800, 123_456_789).unwrap();
        Self { state: seed.wrapping_mul(0x2545_f491_4f6c_dd1d), now, restaurants: 0 }
    }

    /// Returns the next random bits (`SplitMix64`).
    pub fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Returns a random number below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random() >> 33).unwrap() % bound
    }

    /// Returns the time. It does not change until the next id is generated.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns the time `seconds` seconds from now.
    pub fn in_seconds(&self, seconds: i64) -> Timestamp {
        self.now + SignedDuration::from_secs(seconds)
    }

    /// Advances the time by one step, and returns it.
    pub fn tick(&mut self) -> Timestamp {
        self.now += Self::STEP;
        self.now
    }

    /// Returns a new account id.
    pub fn account_id(&mut self) -> AccountId {
        let (at, random) = (self.tick(), self.random());
        AccountId::generate(at, Bucket::from_random(0), random)
    }

    /// Returns a new restaurant id. Its random bucket is in another third of all buckets than the buckets of
    /// the last two restaurants, so that a test with several restaurants uses several shards, if there are
    /// any.
    pub fn restaurant_id(&mut self) -> RestaurantId {
        let (at, bucket, random) = (self.tick(), self.random_bucket(), self.random());
        RestaurantId::generate(at, bucket, random)
    }

    fn random_bucket(&mut self) -> Bucket {
        let third = self.restaurants % 3;
        self.restaurants += 1;
        let place = u16::try_from(self.below(usize::from(Self::THIRD))).unwrap();
        Bucket::new(third * Self::THIRD + place).unwrap()
    }

    /// Returns a new order id, in its restaurant's bucket.
    pub fn order_id(&mut self, restaurant_id: RestaurantId) -> OrderId {
        let (at, random) = (self.tick(), self.random());
        OrderId::generate(at, restaurant_id.bucket(), random)
    }

    /// Returns a new task id, in its order's bucket.
    pub fn task_id(&mut self, order_id: OrderId) -> TaskId {
        let (at, random) = (self.tick(), self.random());
        TaskId::generate(at, order_id.bucket(), random)
    }

    /// Returns a new task id for a subject.
    pub fn task_id_of(&mut self, subject: TaskSubject) -> TaskId {
        match subject {
            TaskSubject::Order(order_id) => self.task_id(order_id),
            // The bucket has no meaning, so it is in another third of all buckets than the last one.
            TaskSubject::Restaurant(_) | TaskSubject::Account(_) => {
                let (at, bucket, random) = (self.tick(), self.random_bucket(), self.random());
                TaskId::generate(at, bucket, random)
            }
        }
    }

    /// Returns a review of a subject.
    pub fn review_of(&mut self, subject: TaskSubject, at: Timestamp) -> NewTask {
        let task = Task::Review { reason: ReviewReason::PaymentVoided };
        NewTask { id: self.task_id_of(subject), subject, task, run_at: at }
    }

    /// Returns the lease of a task that does not exist.
    pub fn lease_of_nothing(&mut self, subject: TaskSubject) -> TaskLease {
        TaskLease { task_id: self.task_id_of(subject), subject, token: 1 }
    }

    /// Returns a new key.
    pub fn key(&mut self) -> IdempotencyKey {
        IdempotencyKey::new(&format!("key {:016x} \"'~", self.random())).unwrap()
    }

    /// Returns a new account with its own address.
    pub fn account(&mut self, role: Role) -> Account {
        let id = self.account_id();
        Account {
            id,
            holder: AccountHolder::Person,
            email: format!("{:016x}@example.com", self.random()),
            name: Name::new("Zoë O’Neill-山田").unwrap(),
            role,
            password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned(),
            created_at: self.now,
            version: 1,
            disabled_at: None,
            deleted_at: None,
            revocation: 0,
        }
    }

    /// Returns a new restaurant that accepts all orders, at revision 1.
    pub fn restaurant(&mut self) -> Restaurant {
        Restaurant {
            id: self.restaurant_id(),
            revision: 1,
            settings: settings(),
            pause: None,
            closed: None,
            created_at: self.now,
        }
    }

    /// Returns the details of an order: two lines with a tax of 20 %, delivered to a random place for a fee.
    pub fn details(&mut self, restaurant_id: RestaurantId, customer_id: AccountId) -> OrderDetails {
        OrderDetails {
            terms_version: TERMS_VERSION,
            restaurant_id,
            restaurant_name: name("The \"Lunchbox\""),
            customer_id,
            lines: vec![line("onion-bhaji", 2, 450), line("naan", 1, 250)],
            fees: vec![delivery_fee(199)],
            taxes: vec![tax(1_150)],
            currency: currency(),
            amounts: Amounts {
                subtotal: amount(1_150),
                tax: amount(230),
                delivery_fee: amount(199),
                tip: amount(100),
                total: amount(1_679),
                ..Amounts::default()
            },
            fulfilment: Fulfilment::Delivery { address: self.address() },
            delivery_zone: Some(OrderZone { id: Slug::new("inner").unwrap(), minutes: Some(25) }),
            contact: Some(Contact {
                name: name("Zoë"),
                phone: Some(Phone::new("+44 20 7946 0000").unwrap()),
            }),
            payment_method: PaymentMethod::Cash,
            payment_deadline: None,
            note: Some(Note::new("line one\nline \\two\\ \"quoted\" 🍛").unwrap()),
            menu_revision: 1,
            stock_drawn: Vec::new(),
        }
    }

    /// Like [`World::details`], with payment by card within a quarter of an hour.
    pub fn details_by_card(&mut self, restaurant_id: RestaurantId, customer_id: AccountId) -> OrderDetails {
        OrderDetails {
            payment_method: PaymentMethod::Card,
            payment_deadline: Some(self.in_seconds(900)),
            ..self.details(restaurant_id, customer_id)
        }
    }

    /// Returns an address whose coordinates use the full precision.
    fn address(&mut self) -> Address {
        Address {
            line1: name("1 Rue de l’Échiquier"),
            line2: None,
            street: Some(name("Rue de l’Échiquier")),
            number: Some(name("1 bis")),
            complement: Some(name("Flat \"2\"")),
            district: Some(name("10e")),
            state: Some(name("Île-de-France")),
            country: Some("FR".to_owned()),
            formatted: Some(Note::new("1 Rue de l’Échiquier\n京都市").unwrap()),
            city: name("京都市"),
            postal_code: Some(name("SW1A 1AA")),
            location: Some(Location { lat: self.degrees(90.0), lng: self.degrees(180.0) }),
            instructions: Some(Note::new("Ring twice; the dog is called \u{2028}Null.").unwrap()),
        }
    }

    fn degrees(&mut self, limit: f64) -> f64 {
        let numerator = u32::try_from(self.random() >> 32).unwrap();
        let denominator = u32::try_from(self.random() >> 32).unwrap() | 1;
        limit * (f64::from(numerator) / f64::from(denominator)).sin()
    }

    /// Places an order under a new key: created and confirmed, with the task that warns about a missing
    /// acceptance.
    pub fn place(&mut self, restaurant_id: RestaurantId, customer_id: AccountId) -> Commit {
        let details = self.details(restaurant_id, customer_id);
        self.place_with(details)
    }

    /// Places an order by card: created, with the tasks that authorize its payment and that expire it if the
    /// payment is missing.
    pub fn place_card(&mut self, restaurant_id: RestaurantId, customer_id: AccountId) -> Commit {
        let details = OrderDetails {
            payment_method: PaymentMethod::Card,
            payment_deadline: Some(self.in_seconds(600)),
            ..self.details(restaurant_id, customer_id)
        };
        self.place_with(details)
    }

    /// Returns a new card token.
    pub fn payment_token(&mut self) -> PaymentToken {
        PaymentToken::new(&format!("tok_{:016x}-A", self.random())).unwrap()
    }

    /// Returns a new payment reference of a provider.
    pub fn payment_reference(&mut self) -> PaymentReference {
        PaymentReference::new(&format!("pay_{:016x}-Z", self.random())).unwrap()
    }

    /// Places an order that draws from limited stock.
    pub fn place_taking(&mut self, restaurant_id: RestaurantId, draws: &[(&str, u32)]) -> Commit {
        let customer_id = self.account_id();
        let stock_drawn: Vec<StockDraw> =
            draws.iter().map(|(item, quantity)| draw(item, *quantity)).collect();
        let details = OrderDetails { stock_drawn, ..self.details(restaurant_id, customer_id) };
        self.place_with(details)
    }

    /// Places an order with these details; by card if the details state so.
    pub fn place_with(&mut self, details: OrderDetails) -> Commit {
        let id = self.order_id(details.restaurant_id);
        self.place_as(id, details)
    }

    /// Places an order with this id and these details.
    pub fn place_as(&mut self, id: OrderId, details: OrderDetails) -> Commit {
        let customer_id = details.customer_id;
        let stock = details.stock_drawn.iter().cloned().map(StockChange::Take).collect();
        let card = (details.payment_method == PaymentMethod::Card).then(|| self.payment_token());
        let decision = place(id, details, card.as_ref(), &settings(), self.now).unwrap();
        let claim = self.claim(customer_id);
        Commit { claim: Some(claim), stock, ..self.commit(decision, 0) }
    }

    /// Returns a claim on a new key.
    pub fn claim(&mut self, account_id: AccountId) -> Claim {
        let mut fingerprint = [0; 32];
        fingerprint[..8].copy_from_slice(&self.random().to_be_bytes());
        Claim { account_id, key: self.key(), fingerprint: Fingerprint(fingerprint) }
    }

    /// Returns the commit of an allowed command, without a claim. The commit's change contains the resulting
    /// order. For the command `Warn`, the clock advances to the time of the warning.
    pub fn act(&mut self, order: &Order, command: &Command, actor: &Actor) -> Commit {
        self.tick();
        if let (Command::Warn, Some(time)) = (command, order.warning_time(&settings())) {
            self.now = self.now.max(time);
        }
        let decision = decide(order, command, actor, &settings(), self.now).unwrap();
        self.commit(decision, order.version)
    }

    /// Returns the commit of a payment provider's report. The commit changes nothing if the report is already
    /// known.
    pub fn settle(&mut self, order: &Order, report: &PaymentReport) -> Commit {
        self.tick();
        let decision = settle(order, report, &settings(), self.now).unwrap();
        self.commit(decision, order.version)
    }

    /// Returns the commit of a command that was already carried out: it claims a key and changes nothing.
    pub fn repeat(&mut self, order: &Order, account_id: AccountId) -> Commit {
        let decision = Decision::unchanged(order);
        let claim = self.claim(account_id);
        Commit { claim: Some(claim), ..self.commit(decision, order.version) }
    }

    /// Returns the commit of a decision on an order at a version.
    pub fn commit(&mut self, decision: Decision, expected_version: u32) -> Commit {
        let order = decision.order;
        let tasks = decision.tasks.iter().map(|task| NewTask {
            id: self.task_id(order.id),
            subject: TaskSubject::Order(order.id),
            task: task.task.clone(),
            run_at: task.run_at,
        });
        Commit {
            order_id: order.id,
            restaurant_id: order.details.restaurant_id,
            tasks: tasks.collect(),
            at: self.now,
            expected_version,
            stock: decision.stock_returned.into_iter().map(StockChange::Return).collect(),
            unavailable: decision.unavailable,
            change: (!decision.events.is_empty()).then_some(Change { order, events: decision.events }),
            claim: None,
            catalogue: None,
            completes: None,
        }
    }
}

/// Returns the order after a commit.
pub fn order_of(commit: &Commit) -> Order {
    commit.change.as_ref().expect("the commit changes the order").order.clone()
}

/// Returns the staff of an order's restaurant.
pub fn staff(order: &Order) -> Actor {
    Actor::Restaurant { account_id: order.details.customer_id, restaurant_id: order.details.restaurant_id }
}

/// Returns the customer of an order.
pub fn customer(order: &Order) -> Actor {
    Actor::customer(order.details.customer_id)
}

/// Returns the provider's reference of an order's payment.
pub fn reference_of(order: &Order) -> PaymentReference {
    PaymentReference::new(&format!("pay_{}", order.id)).unwrap()
}

/// Returns settings that allow everything.
pub fn settings() -> RestaurantSettings {
    RestaurantSettings {
        external_id: None,
        name: name("The \"Lunchbox\""),
        currency: currency(),
        country: Some("GB".to_owned()),
        time_zone: Zone::from_name("Europe/London").unwrap(),
        location: Some(Location { lat: 51.0 + 1.0 / 3.0, lng: -1.0 / 7.0 }),
        opening_hours: OpeningHours::Always,
        tax_rate_basis_points: 2_000,
        taxes: Vec::new(),
        default_taxes: None,
        tax_rounding: TaxRounding::default(),
        fees: Vec::new(),
        delivery: Some(DeliveryTerms::default()),
        zones: zones(),
        collection: true,
        acceptance_deadline_seconds: 480,
        refund_limit: amount(100_000),
    }
}

/// Returns a zone of each kind of area. Their coordinates use the full precision.
fn zones() -> Arc<[DeliveryZone]> {
    let zones = serde_json::json!([
        {"id": "inner", "area": {"type": "Circle", "radius_metres": 3_000}, "fee": 199, "minimum_order": 0, "minutes": 25},
        {"id": "outer", "name": "京都", "fee": 450, "free_from": 9_900, "minimum_order": 1_500, "area": {
            "type": "Polygon", "coordinates": [[[-180, -90], [-0.000_000_1, -90], [0.123_456_7, 89.999_999_9], [-180, -90]]]}},
        {"id": "far", "fee": 0, "minimum_order": 0, "area": {"type": "MultiPolygon", "coordinates": [
            [[[1, 1], [2, 1], [2, 2], [1, 1]]], [[[3, 3], [5, 3], [5, 5], [3, 3]], [[4, 3.5], [4.5, 3.5], [4.5, 4], [4, 3.5]]]]}},
    ]);
    serde_json::from_value(zones).unwrap()
}

/// Returns a menu of these items, at 4.50 each.
pub fn menu(items: &[&str]) -> Menu {
    let items = items.iter().map(|id| ItemDocument {
        id: Some((*id).to_owned()),
        name: format!("Item {id}"),
        description: Some("Crisp, with a dip.".to_owned()),
        price_minor: 450,
        tags: vec!["vegan".to_owned()],
        ..ItemDocument::default()
    });
    let items = items.collect();
    let category = CategoryDocument { name: "Starters".to_owned(), items, ..CategoryDocument::default() };
    MenuDocument::from(vec![category]).validate().unwrap()
}

/// Returns the revisions of a menu at this revision whose availability has never changed.
pub const fn menu_at(revision: Revision) -> MenuRevisions {
    MenuRevisions { menu: revision, availability: 1 }
}

/// Returns a draw of this quantity of an item.
pub fn draw(item: &str, quantity: u32) -> StockDraw {
    StockDraw { item: slug(item), quantity }
}

/// Returns an item's id.
pub fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

/// Returns a name.
pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Returns an amount of pence.
pub fn amount(minor: i64) -> Amount {
    Amount::from_minor(minor).unwrap()
}

/// Returns pounds sterling.
fn currency() -> Currency {
    Currency::from_code("GBP").unwrap()
}

fn line(item: &str, quantity: u32, unit_price: i64) -> OrderLine {
    OrderLine {
        item: slug(item),
        name: name("Onion bhaji"),
        quantity,
        unit_price: amount(unit_price),
        total: amount(unit_price * i64::from(quantity)),
        options: vec![OrderLineOption {
            group: slug("dip"),
            option: slug("mango"),
            name: name("Mango"),
            price: amount(0),
            quantity: Some(3),
            charged: Some(1),
        }],
        note: Some(Note::new("no coriander").unwrap()),
        parts: vec![TaxedPart {
            amount: amount(unit_price * i64::from(quantity)),
            taxes: vec![TaxShare {
                tax: slug(TAX),
                amount: amount(unit_price * i64::from(quantity) / ONE_OF_TAX),
            }],
        }],
        rules: vec![OptionRule { group: slug("dip"), free: 2, price_by: PriceBy::Sum }],
    }
}

/// Id of the tax of every order.
const TAX: &str = "tax";
/// Amount on which the tax is one minor unit: the rate is 20 %.
const ONE_OF_TAX: i64 = 5;

/// Returns the tax on an amount that is a multiple of [`ONE_OF_TAX`].
fn tax(base: i64) -> OrderTax {
    OrderTax {
        id: slug(TAX),
        name: name("VAT"),
        authority: name("HMRC"),
        rate: Rate::new("20").unwrap(),
        included: Inclusion::No,
        remitted_by: Remitter::Restaurant,
        rounding: TaxRounding::HalfUp,
        base: amount(base),
        amount: amount(base / ONE_OF_TAX),
    }
}

fn delivery_fee(minor: i64) -> OrderFee {
    OrderFee {
        id: slug(Fee::DELIVERY),
        name: name("Delivery"),
        kind: FeeKind::Delivery,
        amount: amount(minor),
        receiver: FeeReceiver::Platform,
        parts: Vec::new(),
    }
}

/// Returns a changed copy of an order's details.
pub fn changed(details: &Arc<OrderDetails>, change: impl FnOnce(&mut OrderDetails)) -> OrderDetails {
    let mut details = OrderDetails::clone(details);
    change(&mut details);
    details
}

/// Returns all events of a shard after a position, read page by page.
pub async fn feed_after(store: &dyn Store, shard: usize, mut position: FeedPosition) -> Vec<FeedEvent> {
    let mut events = Vec::new();
    loop {
        let page = store.feed(shard, position, FEED_PAGE).await.unwrap();
        let Some(last) = page.events.last() else { return events };
        position = last.position;
        events.extend(page.events);
    }
}

/// Returns all events of all shards, shard by shard.
pub async fn whole_feed(store: &dyn Store) -> Vec<FeedEvent> {
    let mut events = Vec::new();
    for shard in 0..store.shard_count() {
        events.extend(feed_after(store, shard, FeedPosition::START).await);
    }
    events
}

/// Decodes events of a feed.
pub fn decoded(events: &[FeedEvent]) -> Vec<RecordedEvent> {
    events.iter().map(|event| event.decode().unwrap()).collect()
}

/// Returns the change that disables an account, or enables it.
pub fn disabled(disabled: bool) -> AccountChange {
    AccountChange::Details { name: None, role: None, disabled: Some(disabled) }
}

/// Returns an unconditional change of an account.
pub fn edit(world: &World, account: &Account, change: AccountChange) -> AccountEdit {
    AccountEdit { id: account.id, change, expected: None, by: None, at: world.now() }
}

/// Changes an account. Returns it as stored.
pub async fn done(store: &Arc<dyn Store>, edit: &AccountEdit) -> Account {
    match store.edit_account(edit).await.unwrap() {
        AccountEditOutcome::Done(account) => *account,
        other => panic!("{other:?}"),
    }
}
