//! I9: no audience's form of an order or of an event contains a value that is not meant for the audience.
//!
//! The expectations are written here by hand, independently of the table in the code.

mod orders;

use std::{collections::BTreeSet, sync::Arc};

use dabba_domain::{
    AccountId, Actor, Amount, Currency, Money, Timestamp,
    fee::{FeeKind, FeeReceiver},
    menu::UnavailableItem,
    order::{
        Address, CancelReason, Contact, DeclineReason, Event, ExpiryReason, External, ExternalKind,
        Fulfilment, InterventionReason, OrderDetails, OrderZone, PaymentMethod, PaymentReference,
        PaymentStep, RecordedEvent, Refund, RefundBearer, RefundFailureReason, RefundLine, RefundNumber,
        RefundReason, RejectReason, StockDraw, TERMS_VERSION, UnknownEvent,
    },
    pricing::{Amounts, OrderFee, OrderLine, OrderLineOption, OrderTax, TaxShare, TaxedPart},
    restaurant::Location,
    tax::{Inclusion, Rate, Remitter, TaxRounding},
    text::{Name, Note, Phone, Slug},
};
use dabba_outbound::public::{Audience, PublicRecordedEvent, TYPES, public_event};
use dabba_store::conformance::builders::World;
use proptest::prelude::*;
use serde_json::json;

use crate::lives::{Marker, feed_event, random};

/// The letter of an audience, as in the table of the page.
const fn letter(audience: Audience) -> char {
    match audience {
        Audience::Customer => 'C',
        Audience::Restaurant => 'R',
        Audience::Courier => 'K',
        Audience::Operations => 'O',
        Audience::Partner => 'P',
    }
}

/// The actor of an event.
#[derive(Clone, Copy)]
enum By {
    Staff,
    Admin,
    System,
}

/// Makes unique values and remembers who may see them.
struct Values {
    world: World,
    next: i64,
    markers: Vec<Marker>,
}

impl Values {
    fn new() -> Self {
        Self { world: World::new(91), next: 0, markers: Vec::new() }
    }

    fn remember(&mut self, letters: &'static str, text: &(impl ToString + ?Sized)) {
        self.markers.push(Marker { text: text.to_string(), letters });
    }

    /// Returns a unique number of nine digits.
    fn number(&mut self, letters: &'static str) -> i64 {
        self.next += 1;
        let number = 731_000_000 + self.next;
        self.remember(letters, &number);
        number
    }

    fn text(&mut self, letters: &'static str) -> String {
        self.next += 1;
        let text = format!("marker{:03}", self.next);
        self.remember(letters, &text);
        text
    }

    fn name(&mut self, letters: &'static str) -> Name {
        Name::new(&self.text(letters)).unwrap()
    }

    #[expect(clippy::unnecessary_wraps, reason = "the events have an optional note")]
    fn note(&mut self, letters: &'static str) -> Option<Note> {
        Some(Note::new(&self.text(letters)).unwrap())
    }

    fn slug(&mut self, letters: &'static str) -> Slug {
        Slug::new(&self.text(letters)).unwrap()
    }

    fn reference(&mut self, letters: &'static str) -> PaymentReference {
        PaymentReference::new(&self.text(letters)).unwrap()
    }

    fn amount(&mut self, letters: &'static str) -> Amount {
        Amount::from_minor(self.number(letters)).unwrap()
    }

    fn count(&mut self, letters: &'static str) -> u32 {
        u32::try_from(self.number(letters)).unwrap()
    }

    fn refund_number(&mut self, letters: &'static str) -> RefundNumber {
        RefundNumber::new(self.count(letters)).unwrap()
    }

    fn time(&mut self, letters: &'static str) -> Timestamp {
        let at = self.world.tick();
        self.remember(letters, &at);
        at
    }

    fn account(&mut self, letters: &'static str) -> AccountId {
        let account = self.world.account_id();
        self.remember(letters, &account);
        account
    }

    /// Expects a member, or a fragment of it, in the form for these audiences only.
    fn fragment<T>(&mut self, letters: &'static str, text: &str, value: T) -> T {
        self.remember(letters, text);
        value
    }

    fn items(&mut self) -> Vec<UnavailableItem> {
        vec![UnavailableItem { item: self.slug("CROP"), until: Some(self.time("CROP")) }]
    }

    fn address(&mut self) -> Address {
        self.remember("CRKO", "53.4575");
        self.remember("CRKO", "-2.2244");
        Address {
            line1: self.name("CRKO"),
            line2: Some(self.name("CRKO")),
            street: Some(self.name("CRKO")),
            number: Some(self.name("CRKO")),
            complement: Some(self.name("CRKO")),
            district: Some(self.name("CRKO")),
            state: Some(self.name("CRKO")),
            country: Some(self.fragment("CRKO", r#""country":"NZ""#, "NZ".to_owned())),
            formatted: self.note("CRKO"),
            city: self.name("CRKO"),
            postal_code: Some(self.name("CRKO")),
            location: Some(Location { lat: 53.4575, lng: -2.2244 }),
            instructions: self.note("CRKO"),
        }
    }

    fn line(&mut self) -> OrderLine {
        OrderLine {
            item: self.slug("CRKOP"),
            name: self.name("CRKOP"),
            quantity: self.count("CRKOP"),
            unit_price: self.amount("CROP"),
            total: self.amount("CROP"),
            options: vec![OrderLineOption {
                group: self.slug("CRKOP"),
                option: self.slug("CRKOP"),
                name: self.name("CRKOP"),
                price: self.amount("CROP"),
                quantity: Some(self.count("CRKOP")),
                charged: Some(self.count("CROP")),
            }],
            note: self.note("CRO"),
            parts: self.parts(),
            rules: Vec::new(),
        }
    }

    fn parts(&mut self) -> Vec<TaxedPart> {
        vec![TaxedPart { amount: self.amount("CROP"), taxes: self.shares() }]
    }

    fn shares(&mut self) -> Vec<TaxShare> {
        vec![TaxShare { tax: self.slug("CROP"), amount: self.amount("CROP") }]
    }

    fn fee(&mut self) -> OrderFee {
        OrderFee {
            id: self.slug("CROP"),
            name: self.name("CROP"),
            kind: self.fragment("CROP", r#""packaging""#, FeeKind::Packaging),
            amount: self.amount("CROP"),
            receiver: self.fragment("CROP", r#""authority""#, FeeReceiver::Authority),
            parts: self.parts(),
        }
    }

    fn tax(&mut self) -> OrderTax {
        OrderTax {
            id: self.slug("CROP"),
            name: self.name("CROP"),
            authority: self.name("CROP"),
            rate: self.fragment("CROP", r#""12.3457""#, Rate::new("12.3457").unwrap()),
            included: self.fragment("CROP", r#""gross""#, Inclusion::Gross),
            remitted_by: self.fragment("CROP", r#""remitted_by":"platform""#, Remitter::Platform),
            rounding: self.fragment("CROP", r#""half_even""#, TaxRounding::HalfEven),
            base: self.amount("CROP"),
            amount: self.amount("CROP"),
        }
    }

    /// A delivery; in cash, the courier collects the total.
    fn details(&mut self, method: PaymentMethod) -> OrderDetails {
        let is_cash = method == PaymentMethod::Cash;
        self.remember(if is_cash { "KO" } else { "" }, r#""cash_to_collect""#);
        let phone = "+44 161 496 0731";
        self.remember("CRKO", phone);
        OrderDetails {
            terms_version: TERMS_VERSION,
            restaurant_id: self.world.restaurant_id(),
            restaurant_name: self.name("CRKOP"),
            customer_id: self.account("CO"),
            lines: vec![self.line()],
            fees: vec![self.fee()],
            taxes: vec![self.tax()],
            currency: self.fragment("CRKOP", r#""CHF""#, Currency::from_code("CHF").unwrap()),
            amounts: Amounts {
                subtotal: self.amount("CROP"),
                tax: self.amount("CROP"),
                delivery_fee: self.amount("CROP"),
                other_fees: self.amount("CROP"),
                tip: self.amount("CROP"),
                discount: self.amount("CROP"),
                total: self.amount(if is_cash { "CRKOP" } else { "CROP" }),
            },
            fulfilment: Fulfilment::Delivery { address: self.address() },
            delivery_zone: Some(OrderZone { id: self.slug("CRKO"), minutes: Some(self.count("CRKO")) }),
            contact: Some(Contact { name: self.name("CRKO"), phone: Some(Phone::new(phone).unwrap()) }),
            payment_method: method,
            payment_deadline: Some(self.time("CROP")),
            note: self.note("CRO"),
            menu_revision: self.count("ROP"),
            stock_drawn: vec![StockDraw { item: self.slug("ROP"), quantity: self.count("ROP") }],
        }
    }

    /// A refund whose note only these audiences see.
    fn refund(&mut self, note: &'static str) -> Refund {
        Refund {
            number: self.refund_number("CROP"),
            amount: self.amount("CROP"),
            lines: vec![RefundLine { line: self.count("CROP"), quantity: self.count("CROP") }],
            taxes: self.shares(),
            reason: self.fragment("CROP", "not_delivered", RefundReason::NotDelivered),
            note: self.note(note),
            borne_by: self.fragment("RO", r#""borne_by":"platform""#, RefundBearer::Platform),
            external: Some(External {
                kind: self.fragment("CROP", r#""chargeback""#, ExternalKind::Chargeback),
                reference: self.reference("O"),
                money: Some(Money {
                    amount: self.amount("CROP"),
                    currency: self.fragment("CROP", r#""SEK""#, Currency::from_code("SEK").unwrap()),
                }),
            }),
        }
    }

    fn stock_returned(&mut self) -> bool {
        self.fragment("ROP", r#""stock_returned""#, true)
    }

    /// Returns the event of this number with a unique value in every field, and who causes it; `None` after the last one.
    fn event(&mut self, index: usize) -> Option<(By, Event)> {
        let intervention = InterventionReason::CourierUnreachable;
        Some(match index {
            0 => (By::Staff, Event::Placed(Arc::new(self.details(PaymentMethod::Cash)))),
            1 => (By::Staff, Event::Placed(Arc::new(self.details(PaymentMethod::Card)))),
            2 => (By::Staff, Event::Confirmed { acceptance_deadline: self.time("CROP") }),
            3 => (By::Staff, Event::AcceptanceDue { acceptance_deadline: self.time("CROP") }),
            4 => {
                let (preparation_minutes, ready_by) = (self.count("CRKOP"), self.time("CRKOP"));
                (By::Staff, Event::Accepted { preparation_minutes, ready_by })
            }
            5 => {
                let reason = self.fragment("CRKOP", "too_busy", RejectReason::TooBusy);
                let (note, items, stock_returned) = (self.note("CRO"), self.items(), self.stock_returned());
                (By::Staff, Event::Rejected { reason, note, items, stock_returned })
            }
            6 => (By::Staff, Event::MarkedReady),
            7 => {
                let reason = Some(self.fragment("RO", "courier_unreachable", intervention));
                let (courier_id, note) = (self.account("RO"), self.note("O"));
                (By::Admin, Event::CourierAssigned { courier_id, reason, note })
            }
            8 => (By::Staff, Event::PickedUp),
            9 => {
                let reason = Some(self.fragment("RO", "courier_unreachable", intervention));
                (By::Admin, Event::Delivered { reason, note: self.note("O") })
            }
            10 => (By::Staff, self.cancelled("CRO")),
            11 => (By::Admin, self.cancelled("O")),
            12 => {
                let waited_for = self.fragment("CRKOP", r#""waited_for":"payment""#, ExpiryReason::Payment);
                (By::Staff, Event::Expired { waited_for, stock_returned: self.stock_returned() })
            }
            _ => return self.money_event(index - 13),
        })
    }

    fn cancelled(&mut self, note: &'static str) -> Event {
        Event::Cancelled {
            reason: self.fragment("CRKOP", "no_courier", CancelReason::NoCourier),
            note: self.note(note),
            items: self.items(),
            stock_returned: self.stock_returned(),
            borne_by: self.fragment("RO", r#""borne_by":"everyone""#, RefundBearer::Everyone),
        }
    }

    fn money_event(&mut self, index: usize) -> Option<(By, Event)> {
        let failure = RefundFailureReason::InsufficientFunds;
        let event = match index {
            0 => Event::PaymentCaptured { amount: self.amount("CROP") },
            1 => Event::PaymentAuthorized { reference: self.reference("O") },
            2 => {
                let reason = self.fragment("CO", "expired_card", DeclineReason::ExpiredCard);
                Event::PaymentFailed { reason, stock_returned: self.stock_returned() }
            }
            3 => Event::PaymentVoided,
            4 => {
                let step = self.fragment("O", r#""step""#, PaymentStep::Captured);
                let currency = self.fragment("O", r#""NOK""#, Currency::from_code("NOK").unwrap());
                Event::PaymentDiffers { step, money: Money { amount: self.amount("O"), currency } }
            }
            5 => Event::RefundRequested(self.refund("CRO")),
            6 => Event::Refunded(self.refund("CRO")),
            7 => return Some((By::Admin, Event::Refunded(self.refund("O")))),
            // Dabba copies the words of the request, which may be an admin's.
            8 => return Some((By::System, Event::Refunded(self.refund("O")))),
            9 => {
                let reason = Some(self.fragment("O", "insufficient_funds", failure));
                Event::RefundFailed { number: self.refund_number("CROP"), reason }
            }
            10 => {
                let reason = self.fragment("O", "insufficient_funds", failure);
                Event::RefundReversed { number: self.refund_number("CROP"), reason }
            }
            11 => Event::ChargebackOpened(self.refund("CRO")),
            12 => Event::ChargebackLost { number: self.refund_number("CROP") },
            13 => Event::ChargebackWon { number: self.refund_number("CROP") },
            _ => return None,
        };
        Some((By::Staff, event))
    }
}

/// Proves for every field of every event that exactly the intended audiences see its value: a unique value is planted in each
/// field and searched in the text for each audience.
#[test]
fn each_value_reaches_exactly_its_audiences() {
    let mut names = BTreeSet::new();
    for index in 0.. {
        let mut values = Values::new();
        let (restaurant, customer) = (values.world.restaurant_id(), values.world.account_id());
        let details = values.world.details(restaurant, customer);
        let Some((by, event)) = values.event(index) else { break };
        let (role, actor) = match by {
            By::System => ("system", Actor::System),
            By::Admin => ("admin", Actor::Admin { account_id: values.account("O") }),
            By::Staff => {
                let account_id = values.account("O");
                ("restaurant", Actor::Restaurant { account_id, restaurant_id: restaurant })
            }
        };
        values.remember("CRKOP", &format!(r#""role":"{role}""#));
        let order_id = values.world.order_id(restaurant);
        names.insert(event.name().to_owned());
        let recorded = RecordedEvent { order_id, version: 7, at: values.world.now(), actor, event };
        let stored = feed_event(&details, &recorded);
        for audience in Audience::ALL {
            let history = PublicRecordedEvent::new(recorded.clone(), audience);
            assert_shows(audience, &serde_json::to_string(&history).unwrap(), &values.markers);
            let text = serde_json::to_string(&public_event(&stored, audience)).unwrap();
            assert_shows(audience, &text, &values.markers);
        }
    }
    let all: BTreeSet<String> = TYPES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(names, all, "every event is examined");
}

/// Asserts that a text contains exactly the values that are meant for an audience.
fn assert_shows(audience: Audience, text: &str, markers: &[Marker]) {
    for Marker { text: marker, letters } in markers {
        let is_meant = letters.contains(letter(audience));
        assert_eq!(
            text.contains(marker.as_str()),
            is_meant,
            "{audience:?} sees {marker}, which is for {letters:?}: {text}"
        );
    }
}

/// Proves that the history shows the content of an event that only a newer version knows to operations only.
#[test]
fn the_content_of_an_unknown_event_is_for_operations() {
    let mut world = World::new(92);
    let restaurant = world.restaurant_id();
    let unknown = UnknownEvent { name: "held_back".into(), data: Some(json!({"secret": "marker"})) };
    let recorded = RecordedEvent {
        order_id: world.order_id(restaurant),
        version: 2,
        at: world.now(),
        actor: Actor::System,
        event: Event::Unknown(unknown),
    };
    for audience in Audience::ALL {
        let history = serde_json::to_value(PublicRecordedEvent::new(recorded.clone(), audience)).unwrap();
        assert_eq!(history["type"], "held_back");
        assert_eq!(history.get("data").is_some(), audience == Audience::Operations, "{audience:?} {history}");
    }
}

/// Proves that an event never names its customer outside the content: neither a courier nor a restaurant or partner finds the
/// customer's account.
#[test]
fn the_envelope_does_not_name_the_customer() {
    for stored in crate::lives::scripted() {
        for audience in [Audience::Restaurant, Audience::Courier, Audience::Partner] {
            let text = serde_json::to_string(&public_event(&stored, audience)).unwrap();
            assert!(!text.contains(&stored.customer_id.to_string()), "{audience:?} {text}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Proves that no event of a random life contains a private value for an audience that must not see it.
    #[test]
    fn no_random_life_reveals_a_private_value(seed: u64) {
        let life = random(seed);
        for stored in &life.events {
            for audience in Audience::ALL {
                let text = serde_json::to_string(&public_event(stored, audience)).unwrap();
                for Marker { text: marker, letters } in &life.markers {
                    let is_meant = letters.contains(letter(audience));
                    prop_assert!(is_meant || !text.contains(marker.as_str()), "{:?} {} {}", audience, marker, text);
                }
            }
        }
    }
}
