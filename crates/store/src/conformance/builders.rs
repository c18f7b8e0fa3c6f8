//! Restaurants, orders and commits for tests. The same seed gives the same world, to the last bit.

use std::sync::Arc;

use dabba_domain::{
    AccountId, Actor, Amount, Bucket, Currency, OrderId, RestaurantId, Role, TaskId, Timestamp,
    menu::{CategoryDocument, ItemDocument, Menu, MenuDocument},
    order::{
        Address, Command, Contact, Decision, Fulfilment, Order, OrderDetails, PaymentMethod,
        PaymentReference, PaymentReport, PaymentToken, StockDraw, decide, place, settle,
    },
    pricing::{Amounts, OrderLine, OrderLineOption},
    restaurant::{DeliveryTerms, Location, OpeningHours, Restaurant, Revision, Settings, Zone},
    text::{Name, Note, Phone, Slug},
};
use jiff::SignedDuration;

use crate::{
    Account, Change, Claim, Commit, Fingerprint, IdempotencyKey, MenuRevisions, NewTask, StockChange,
};

/// A source of everything that a test needs, from a seed: ids, times, restaurants, orders, commits.
///
/// Its clock moves by a little more than a millisecond with every id, so ids sort in the order in which
/// they were made, and its times have digits down to the nanosecond, which a store must keep.
#[derive(Clone, Debug)]
pub struct World {
    state: u64,
    now: Timestamp,
    /// How many restaurants have an id.
    restaurants: u16,
}

impl World {
    /// How far the clock moves with each id.
    const STEP: SignedDuration = SignedDuration::from_nanos(1_234_567);
    /// The buckets from which a restaurant draws its own, a third of all.
    const THIRD: u16 = Bucket::COUNT / 3;

    /// The world of a seed. Worlds of different seeds have different ids.
    pub fn new(seed: u64) -> Self {
        // 1 March 2026, 18:30 UTC, and some nanoseconds.
        let now = Timestamp::new(1_772_389_800, 123_456_789).unwrap();
        Self { state: seed.wrapping_mul(0x2545_f491_4f6c_dd1d), now, restaurants: 0 }
    }

    /// The next random bits (`SplitMix64`).
    pub fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A random number below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random() >> 33).unwrap() % bound
    }

    /// The time. It stands still until an id is made.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The time so many seconds from now.
    pub fn in_seconds(&self, seconds: i64) -> Timestamp {
        self.now + SignedDuration::from_secs(seconds)
    }

    /// Moves the time on a little, and returns it.
    pub fn tick(&mut self) -> Timestamp {
        self.now += Self::STEP;
        self.now
    }

    /// A new account's id.
    pub fn account_id(&mut self) -> AccountId {
        let (at, random) = (self.tick(), self.random());
        AccountId::generate(at, Bucket::from_random(0), random)
    }

    /// A new restaurant's id, in a random bucket of another third of all buckets than the last two: so
    /// that whoever uses several restaurants uses several shards, where there are some.
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

    /// A new order's id, in its restaurant's bucket.
    pub fn order_id(&mut self, restaurant_id: RestaurantId) -> OrderId {
        let (at, random) = (self.tick(), self.random());
        OrderId::generate(at, restaurant_id.bucket(), random)
    }

    /// A new task's id, in its order's bucket.
    pub fn task_id(&mut self, order_id: OrderId) -> TaskId {
        let (at, random) = (self.tick(), self.random());
        TaskId::generate(at, order_id.bucket(), random)
    }

    /// A key that was never used.
    pub fn key(&mut self) -> IdempotencyKey {
        IdempotencyKey::new(&format!("key {:016x} \"'~", self.random())).unwrap()
    }

    /// An account, with an address of its own.
    pub fn account(&mut self, role: Role) -> Account {
        let id = self.account_id();
        Account {
            id,
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

    /// A restaurant that takes all orders, at revision 1.
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

    /// What a customer agrees to: two lines, brought to a random place.
    pub fn details(&mut self, restaurant_id: RestaurantId, customer_id: AccountId) -> OrderDetails {
        OrderDetails {
            restaurant_id,
            restaurant_name: name("The \"Lunchbox\""),
            customer_id,
            lines: vec![line("onion-bhaji", 2, 450), line("naan", 1, 250)],
            currency: currency(),
            amounts: Amounts {
                subtotal: amount(1_150),
                tax: amount(230),
                delivery_fee: amount(199),
                tip: amount(100),
                discount: Amount::ZERO,
                total: amount(1_679),
            },
            fulfilment: Fulfilment::Delivery { address: self.address() },
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

    /// The same, to be paid by card within a quarter of an hour.
    pub fn details_by_card(&mut self, restaurant_id: RestaurantId, customer_id: AccountId) -> OrderDetails {
        OrderDetails {
            payment_method: PaymentMethod::Card,
            payment_deadline: Some(self.in_seconds(900)),
            ..self.details(restaurant_id, customer_id)
        }
    }

    /// An address whose coordinates use every bit that they have.
    fn address(&mut self) -> Address {
        Address {
            line1: name("1 Rue de l’Échiquier"),
            line2: None,
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

    /// Places an order under a new key: created and confirmed, with the task that lets it expire.
    pub fn place(&mut self, restaurant_id: RestaurantId, customer_id: AccountId) -> Commit {
        let details = self.details(restaurant_id, customer_id);
        self.place_with(details)
    }

    /// Places an order by card: created, with the tasks to authorize its payment and to expire without it.
    pub fn place_card(&mut self, restaurant_id: RestaurantId, customer_id: AccountId) -> Commit {
        let details = OrderDetails {
            payment_method: PaymentMethod::Card,
            payment_deadline: Some(self.in_seconds(600)),
            ..self.details(restaurant_id, customer_id)
        };
        self.place_with(details)
    }

    /// What a customer pays with, by card.
    pub fn payment_token(&mut self) -> PaymentToken {
        PaymentToken::new(&format!("tok_{:016x}-A", self.random())).unwrap()
    }

    /// What a payment provider calls a payment.
    pub fn payment_reference(&mut self) -> PaymentReference {
        PaymentReference::new(&format!("pay_{:016x}-Z", self.random())).unwrap()
    }

    /// Places an order that takes from limited stock.
    pub fn place_taking(&mut self, restaurant_id: RestaurantId, draws: &[(&str, u32)]) -> Commit {
        let customer_id = self.account_id();
        let stock_drawn: Vec<StockDraw> =
            draws.iter().map(|(item, quantity)| draw(item, *quantity)).collect();
        let details = OrderDetails { stock_drawn, ..self.details(restaurant_id, customer_id) };
        self.place_with(details)
    }

    /// Places an order with these details: by card where they say so.
    pub fn place_with(&mut self, details: OrderDetails) -> Commit {
        let id = self.order_id(details.restaurant_id);
        let customer_id = details.customer_id;
        let stock = details.stock_drawn.iter().cloned().map(StockChange::Take).collect();
        let card = (details.payment_method == PaymentMethod::Card).then(|| self.payment_token());
        let decision = place(id, details, card.as_ref(), &settings(), self.now).unwrap();
        let claim = self.claim(customer_id);
        Commit { claim: Some(claim), stock, ..self.commit(decision, 0) }
    }

    /// A claim on a new key.
    pub fn claim(&mut self, account_id: AccountId) -> Claim {
        let mut fingerprint = [0; 32];
        fingerprint[..8].copy_from_slice(&self.random().to_be_bytes());
        Claim { account_id, key: self.key(), fingerprint: Fingerprint(fingerprint) }
    }

    /// The commit of a command that is allowed, without a claim. The order after it is in its change. A
    /// warning is waited for.
    pub fn act(&mut self, order: &Order, command: &Command, actor: &Actor) -> Commit {
        self.tick();
        if let (Command::Warn, Some(time)) = (command, order.warning_time(&settings())) {
            self.now = self.now.max(time);
        }
        let decision = decide(order, command, actor, &settings(), self.now).unwrap();
        self.commit(decision, order.version)
    }

    /// The commit of what a payment provider reports. It changes nothing when that is not new.
    pub fn settle(&mut self, order: &Order, report: &PaymentReport) -> Commit {
        self.tick();
        let decision = settle(order, report, &settings(), self.now).unwrap();
        self.commit(decision, order.version)
    }

    /// The commit of a command that had been carried out before: it claims a key and changes nothing.
    pub fn repeat(&mut self, order: &Order, account_id: AccountId) -> Commit {
        let decision = Decision::unchanged(order);
        let claim = self.claim(account_id);
        Commit { claim: Some(claim), ..self.commit(decision, order.version) }
    }

    /// The commit of a decision on an order at a version.
    pub fn commit(&mut self, decision: Decision, expected_version: u32) -> Commit {
        let order = decision.order;
        let tasks = decision.tasks.iter().map(|task| NewTask {
            id: self.task_id(order.id),
            order_id: order.id,
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

/// The order as a commit leaves it.
pub fn order_of(commit: &Commit) -> Order {
    commit.change.as_ref().expect("the commit changes the order").order.clone()
}

/// The staff of an order's restaurant.
pub fn staff(order: &Order) -> Actor {
    Actor::Restaurant { account_id: order.details.customer_id, restaurant_id: order.details.restaurant_id }
}

/// The customer of an order.
pub fn customer(order: &Order) -> Actor {
    Actor::Customer { account_id: order.details.customer_id }
}

/// What the payment provider calls the payment of an order.
pub fn reference_of(order: &Order) -> PaymentReference {
    PaymentReference::new(&format!("pay_{}", order.id)).unwrap()
}

/// Settings that allow everything.
pub fn settings() -> Settings {
    Settings {
        external_id: None,
        name: name("The \"Lunchbox\""),
        currency: currency(),
        country: Some("GB".to_owned()),
        time_zone: Zone::from_name("Europe/London").unwrap(),
        location: Some(Location { lat: 51.0 + 1.0 / 3.0, lng: -1.0 / 7.0 }),
        opening_hours: OpeningHours::Always,
        tax_rate_basis_points: 2_000,
        delivery: Some(DeliveryTerms::default()),
        collection: true,
        acceptance_deadline_seconds: 480,
        refund_limit: amount(100_000),
    }
}

/// A menu of these items, at 4.50 each.
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
    let category = CategoryDocument { name: "Starters".to_owned(), items };
    MenuDocument::from(vec![category]).validate().unwrap()
}

/// A menu at this revision, whose items' availability has never changed.
pub const fn menu_at(revision: Revision) -> MenuRevisions {
    MenuRevisions { menu: revision, availability: 1 }
}

/// So much of an item.
pub fn draw(item: &str, quantity: u32) -> StockDraw {
    StockDraw { item: slug(item), quantity }
}

/// An item's id.
pub fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

/// A name.
pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// An amount of pence.
pub fn amount(minor: i64) -> Amount {
    Amount::from_minor(minor).unwrap()
}

/// Pounds.
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
        }],
        note: Some(Note::new("no coriander").unwrap()),
    }
}

/// An order's details, changed.
pub fn changed(details: &Arc<OrderDetails>, change: impl FnOnce(&mut OrderDetails)) -> OrderDetails {
    let mut details = OrderDetails::clone(details);
    change(&mut details);
    details
}
