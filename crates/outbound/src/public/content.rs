//! The content of a public event from the stored event.
//!
//! Each stored struct is taken apart by naming all its fields, without `..`: a new field does not compile until its author
//! adds it to the table or ignores it here.

use dabba_domain::{
    Actor, Money,
    menu::UnavailableItem,
    order::{self, Event, OrderDetails, RecordedEvent},
    pricing::{self, OrderLine, OrderLineOption},
    restaurant,
    text::Note,
};
use dabba_store::FeedEvent;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    Audience,
    order::cash_at_the_door,
    shape::{Always, Members, WholeOrder, Words, Yes},
    table,
};

/// The members of an event alone, as one object for an audience.
struct OfEvent<'a, B> {
    event: &'a B,
    audience: Audience,
}

impl<B: Members> Serialize for OfEvent<'_, B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.event.write_members(self.audience, &mut map)?;
        map.end()
    }
}

/// The members of two groups and of an event, as one object for an audience.
struct Data<'a, A, B> {
    common: &'a table::Common,
    group: &'a A,
    event: &'a B,
    audience: Audience,
}

impl<A: Members, B: Members> Serialize for Data<'_, A, B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.common.write_members(self.audience, &mut map)?;
        self.group.write_members(self.audience, &mut map)?;
        self.event.write_members(self.audience, &mut map)?;
        map.end()
    }
}

/// Returns the content of an event for an audience. `decoded` is `None` if the event cannot be decoded. `order` is the
/// order after the event, if the content contains it.
pub(super) fn data(
    event: &FeedEvent,
    decoded: Option<&RecordedEvent>,
    audience: Audience,
    order: Option<Box<RawValue>>,
) -> Box<RawValue> {
    let common = table::Common {
        order_id: event.order_id,
        restaurant_id: event.restaurant_id,
        version: event.version,
        order: order.map(WholeOrder),
    };
    let common = &common;
    let known = decoded.and_then(|recorded| Writer { common: Some(common), recorded, audience }.write());
    known.unwrap_or_else(|| {
        let decoded_actor = decoded.map(|recorded| recorded.actor);
        // The content may be damaged while the actor is not.
        let actor = decoded_actor.or_else(|| serde_json::from_str::<Actor>(&event.actor).ok());
        let group = table::Withheld { actor: actor.as_ref().map(actor_of), incomplete: Yes };
        let data = Data { common, group: &group, event: &table::Plain {}, audience };
        // Texts and numbers in a map always serialize.
        to_raw_value(&data).unwrap_or_else(|_| RawValue::NULL.to_owned())
    })
}

/// Returns the content of a recorded event for an audience, without the members that every event has; `None` if the
/// audience sees nothing of it.
pub(super) fn recorded_data(recorded: &RecordedEvent, audience: Audience) -> Option<Box<RawValue>> {
    if let Event::Unknown(unknown) = &recorded.event {
        // Only a version that knows the content can say who else may see it.
        let data = unknown.data.as_ref().filter(|_| audience == Audience::Operations)?;
        return to_raw_value(data).ok();
    }
    let data = Writer { common: None, recorded, audience }.write()?;
    (data.get() != "{}").then_some(data)
}

/// Writes the content of one decoded event for one audience.
struct Writer<'a> {
    /// The members that every event has; `None` to write the event's own members alone.
    common: Option<&'a table::Common>,
    recorded: &'a RecordedEvent,
    audience: Audience,
}

impl Writer<'_> {
    fn all(&self, event: &impl Members) -> Option<Box<RawValue>> {
        let audience = self.audience;
        let Some(common) = self.common else { return to_raw_value(&OfEvent { event, audience }).ok() };
        let group = table::Known { actor: actor_of(&self.recorded.actor) };
        to_raw_value(&Data { common, group: &group, event, audience }).ok()
    }

    /// Returns an actor's own words. If Dabba itself records a refund, it copies the words of the request, whose author the
    /// event does not state: they may be an admin's. The event of the request shows the words of the restaurant.
    fn words(&self, note: Option<&Note>) -> Option<Words> {
        let is_internal = matches!(self.recorded.actor, Actor::Admin { .. } | Actor::System);
        note.map(|text| Words { text: text.clone(), is_internal })
    }

    /// Returns the content; `None` for an event that this version does not know.
    fn write(&self) -> Option<Box<RawValue>> {
        match &self.recorded.event {
            Event::Placed(details) => self.all(&placed(details)),
            Event::Confirmed { acceptance_deadline } | Event::AcceptanceDue { acceptance_deadline } => {
                self.all(&table::Acceptance { acceptance_deadline: *acceptance_deadline })
            }
            Event::Accepted { preparation_minutes, ready_by } => {
                self.all(&table::Accepted { preparation_minutes: *preparation_minutes, ready_by: *ready_by })
            }
            Event::MarkedReady | Event::PickedUp | Event::PaymentVoided => self.all(&table::Plain {}),
            Event::CourierAssigned { courier_id, reason, note } => self.all(&table::CourierAssigned {
                courier_id: *courier_id,
                reason: *reason,
                note: self.words(note.as_ref()),
            }),
            Event::Delivered { reason, note } => {
                self.all(&table::Delivered { reason: *reason, note: self.words(note.as_ref()) })
            }
            Event::Rejected { .. } | Event::Cancelled { .. } | Event::Expired { .. } => self.early_end(),
            Event::PaymentCaptured { .. }
            | Event::PaymentAuthorized { .. }
            | Event::PaymentFailed { .. }
            | Event::PaymentDiffers { .. } => self.payment(),
            Event::RefundRequested(refund) | Event::Refunded(refund) | Event::ChargebackOpened(refund) => {
                self.all(&self.refund(refund))
            }
            Event::RefundFailed { number, reason } => {
                self.all(&table::RefundRefused { number: *number, reason: *reason })
            }
            Event::RefundReversed { number, reason } => {
                self.all(&table::RefundRefused { number: *number, reason: Some(*reason) })
            }
            Event::ChargebackLost { number } | Event::ChargebackWon { number } => {
                self.all(&table::ChargebackDecided { number: *number })
            }
            Event::Unknown(_) => None,
        }
    }

    fn early_end(&self) -> Option<Box<RawValue>> {
        match &self.recorded.event {
            Event::Rejected { reason, note, items, stock_returned } => self.all(&table::Rejected {
                reason: *reason,
                note: self.words(note.as_ref()),
                items: unavailable(items),
                stock_returned: *stock_returned,
            }),
            Event::Cancelled { reason, note, items, stock_returned, borne_by } => {
                self.all(&table::Cancelled {
                    reason: *reason,
                    note: self.words(note.as_ref()),
                    items: unavailable(items),
                    stock_returned: *stock_returned,
                    borne_by: *borne_by,
                })
            }
            Event::Expired { waited_for, stock_returned } => {
                self.all(&table::Expired { waited_for: *waited_for, stock_returned: *stock_returned })
            }
            _ => None,
        }
    }

    fn payment(&self) -> Option<Box<RawValue>> {
        match &self.recorded.event {
            Event::PaymentCaptured { amount } => self.all(&table::PaymentCaptured { amount: *amount }),
            Event::PaymentAuthorized { reference } => {
                self.all(&table::PaymentAuthorized { reference: reference.clone() })
            }
            Event::PaymentFailed { reason, stock_returned } => {
                self.all(&table::PaymentFailed { reason: *reason, stock_returned: *stock_returned })
            }
            Event::PaymentDiffers { step, money } => {
                self.all(&table::PaymentDiffers { step: *step, money: money_of(*money) })
            }
            _ => None,
        }
    }

    fn refund(&self, refund: &order::Refund) -> table::Refund {
        let order::Refund { number, amount, lines, taxes, reason, note, borne_by, external } = refund;
        table::Refund {
            number: *number,
            amount: *amount,
            lines: lines.iter().copied().map(refund_line).collect(),
            taxes: taxes.iter().map(tax_share).collect(),
            reason: *reason,
            note: self.words(note.as_ref()),
            borne_by: *borne_by,
            external: external.as_ref().map(external_of),
        }
    }
}

pub(super) const fn refund_line(line: order::RefundLine) -> table::RefundLine {
    let order::RefundLine { line, quantity } = line;
    table::RefundLine { line, quantity }
}

pub(super) fn external_of(external: &order::External) -> table::External {
    let order::External { kind, reference, money } = external;
    table::External { kind: *kind, reference: reference.clone(), money: money.map(money_of) }
}

pub(super) fn contact_of(contact: &order::Contact) -> table::Contact {
    let order::Contact { name, phone } = contact;
    table::Contact { name: name.clone(), phone: phone.clone() }
}

pub(super) fn actor_of(actor: &Actor) -> table::Actor {
    let role = match actor {
        Actor::Customer { .. } => table::ActorRole::Customer,
        Actor::Restaurant { .. } => table::ActorRole::Restaurant,
        Actor::Courier { .. } => table::ActorRole::Courier,
        Actor::Admin { .. } => table::ActorRole::Admin,
        Actor::System => table::ActorRole::System,
    };
    let via = match actor {
        Actor::Customer { account_id: _, via } => *via,
        Actor::Restaurant { .. } | Actor::Courier { .. } | Actor::Admin { .. } | Actor::System => None,
    };
    table::Actor { role, account_id: actor.account_id(), via }
}

fn placed(details: &OrderDetails) -> table::Placed {
    let OrderDetails {
        terms_version: _, // The members state what the order has.
        restaurant_id: _, // Every event states it.
        restaurant_name,
        customer_id,
        lines,
        fees,
        taxes,
        currency,
        amounts,
        fulfilment,
        delivery_zone,
        contact,
        payment_method,
        payment_deadline,
        note,
        menu_revision,
        stock_drawn,
    } = details;
    let draw = |draw: &order::StockDraw| {
        let order::StockDraw { item, quantity } = draw;
        table::StockDraw { item: item.clone(), quantity: *quantity }
    };
    table::Placed {
        restaurant_name: restaurant_name.clone(),
        customer_id: *customer_id,
        lines: Always(lines.iter().map(placed_line).collect()),
        fees: fees.iter().map(placed_fee).collect(),
        taxes: taxes.iter().map(tax).collect(),
        currency: *currency,
        amounts: amounts_of(*amounts),
        fulfilment: fulfilment_of(fulfilment),
        delivery_zone: delivery_zone.as_ref().map(zone_of),
        contact: contact.as_ref().map(contact_of),
        payment_method: *payment_method,
        cash_to_collect: cash_at_the_door(details),
        payment_deadline: *payment_deadline,
        note: note.clone(),
        menu_revision: *menu_revision,
        stock_drawn: stock_drawn.iter().map(draw).collect(),
    }
}

fn placed_line(line: &OrderLine) -> table::PlacedLine {
    let OrderLine {
        item,
        name,
        quantity,
        unit_price,
        total,
        options,
        note,
        parts,
        rules: _, // The charged quantities of the options state their effect.
    } = line;
    table::PlacedLine {
        item: item.clone(),
        name: name.clone(),
        quantity: *quantity,
        unit_price: *unit_price,
        total: *total,
        options: options.iter().map(line_option).collect(),
        note: note.clone(),
        parts: parts.iter().map(taxed_part).collect(),
    }
}

pub(super) fn line(line: &OrderLine) -> table::Line {
    let OrderLine {
        item,
        name,
        quantity,
        unit_price,
        total,
        options,
        note,
        parts: _, // The event and the receipt show them.
        rules: _, // The charged quantities of the options state their effect.
    } = line;
    table::Line {
        item: item.clone(),
        name: name.clone(),
        quantity: *quantity,
        unit_price: *unit_price,
        total: *total,
        options: options.iter().map(line_option).collect(),
        note: note.clone(),
    }
}

fn taxed_part(part: &pricing::TaxedPart) -> table::TaxedPart {
    let pricing::TaxedPart { amount, taxes } = part;
    table::TaxedPart { amount: *amount, taxes: taxes.iter().map(tax_share).collect() }
}

pub(super) fn tax_share(share: &pricing::TaxShare) -> table::TaxShare {
    let pricing::TaxShare { tax, amount } = share;
    table::TaxShare { tax: tax.clone(), amount: *amount }
}

pub(super) fn fee(fee: &pricing::OrderFee) -> table::Fee {
    let pricing::OrderFee {
        id,
        name,
        kind,
        amount,
        receiver,
        parts: _, // The event and the receipt show them.
    } = fee;
    table::Fee { id: id.clone(), name: name.clone(), kind: *kind, amount: *amount, receiver: *receiver }
}

fn placed_fee(fee: &pricing::OrderFee) -> table::PlacedFee {
    let pricing::OrderFee { id, name, kind, amount, receiver, parts } = fee;
    table::PlacedFee {
        id: id.clone(),
        name: name.clone(),
        kind: *kind,
        amount: *amount,
        receiver: *receiver,
        parts: parts.iter().map(taxed_part).collect(),
    }
}

pub(super) fn tax(tax: &pricing::OrderTax) -> table::Tax {
    let pricing::OrderTax { id, name, authority, rate, included, remitted_by, rounding, base, amount } = tax;
    table::Tax {
        id: id.clone(),
        name: name.clone(),
        authority: authority.clone(),
        rate: *rate,
        included: *included,
        remitted_by: *remitted_by,
        rounding: *rounding,
        base: *base,
        amount: *amount,
    }
}

pub(super) fn line_option(option: &OrderLineOption) -> table::LineOption {
    let OrderLineOption { group, option, name, price, quantity, charged } = option;
    table::LineOption {
        group: group.clone(),
        option: option.clone(),
        name: name.clone(),
        price: *price,
        quantity: *quantity,
        charged: *charged,
    }
}

pub(super) fn amounts_of(amounts: pricing::Amounts) -> table::Amounts {
    let pricing::Amounts { subtotal, tax, delivery_fee, other_fees, tip, discount, total } = amounts;
    let other_fees = (!other_fees.is_zero()).then_some(other_fees);
    table::Amounts { subtotal, tax, delivery_fee, other_fees, tip, discount, total }
}

pub(super) fn fulfilment_of(fulfilment: &order::Fulfilment) -> table::Fulfilment {
    let address = match fulfilment {
        order::Fulfilment::Delivery { address } => Some(address_of(address)),
        order::Fulfilment::Collection => None,
    };
    table::Fulfilment { r#type: fulfilment.kind(), address }
}

pub(super) fn zone_of(zone: &order::OrderZone) -> table::OrderZone {
    let order::OrderZone { id, minutes } = zone;
    table::OrderZone { id: id.clone(), minutes: *minutes }
}

fn address_of(address: &order::Address) -> table::Address {
    let order::Address {
        line1,
        line2,
        street,
        number,
        complement,
        district,
        city,
        state,
        postal_code,
        country,
        formatted,
        location,
        instructions,
    } = address;
    table::Address {
        line1: line1.clone(),
        line2: line2.clone(),
        street: street.clone(),
        number: number.clone(),
        complement: complement.clone(),
        district: district.clone(),
        city: city.clone(),
        state: state.clone(),
        postal_code: postal_code.clone(),
        country: country.clone().map(table::CountryCode),
        formatted: formatted.clone(),
        location: location.map(location_of),
        instructions: instructions.clone(),
    }
}

pub(super) const fn location_of(location: restaurant::Location) -> table::Location {
    let restaurant::Location { lat, lng } = location;
    table::Location { lat, lng }
}

pub(super) fn unavailable(items: &[UnavailableItem]) -> Vec<table::UnavailableItem> {
    let item = |item: &UnavailableItem| {
        let UnavailableItem { item, until } = item;
        table::UnavailableItem { item: item.clone(), until: *until }
    };
    items.iter().map(item).collect()
}

const fn money_of(money: Money) -> table::Money {
    let Money { amount, currency } = money;
    table::Money { amount, currency }
}
