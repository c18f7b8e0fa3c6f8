//! The table of the public events and of the bodies of orders: every member, the audiences that see it, and why the others
//! do not.
//!
//! | letter | audience | sees, in short |
//! |---|---|---|
//! | `C` | customer | the order as the customer placed it, its progress, the customer's own money |
//! | `R` | restaurant | all that the kitchen and its accounts need |
//! | `K` | courier | what a delivery needs: address, contact, content without prices, cash to collect |
//! | `O` | operations | everything |
//! | `P` | partner | everything that is neither personal nor an internal matter of the platform |
//!
//! In doubt a member is hidden: adding an audience later breaks nobody, removing one does.

mod orders;
mod tracking;

use dabba_domain::{
    AccountId, Amount, Currency, OrderId, RestaurantId, Timestamp, Via,
    fee::{FeeKind, FeeReceiver},
    order::{
        CancelReason, DeclineReason, ExpiryReason, ExternalKind, InterventionReason, PaymentMethod,
        PaymentReference, PaymentStep, RefundBearer, RefundFailureReason, RefundNumber, RefundReason,
        RejectReason,
    },
    pricing::FulfilmentKind,
    tax::{Inclusion, Rate, Remitter, TaxRounding},
    text::{Name, Note, Phone, Slug},
};
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use self::orders::{
    Closure, ClosureCancelled, ClosureExpired, ClosureKind, ClosurePaymentFailed, ClosureRejected, Order,
    Payment, RefundOfOrder,
};
pub(super) use self::tracking::{
    CountryCode, ReasonName, TrackedClosure, TrackedLine, TrackedOrder, TrackedPayment, TrackedRestaurant,
    Tracking,
};
use super::{
    Audience,
    shape::{Always, WholeOrder, Words, Yes, public, reason_of},
};

const C: Audience = Audience::Customer;
const R: Audience = Audience::Restaurant;
const K: Audience = Audience::Courier;
const O: Audience = Audience::Operations;
const P: Audience = Audience::Partner;

const ACCOUNT: &str = "An account id identifies a person.";
const PERSONAL: &str = "Personal data: not for partners.";
const WHEREABOUTS: &str = "The zone states roughly where the customer is: not for partners.";
const FREE_TEXT: &str = "A free text may contain personal data, and a delivery does not need it.";
const ADMINS_TEXT: &str = "The words of an admin are an internal note.";
const NO_MONEY: &str = "A courier sees no amounts except the cash to collect.";
const NO_REFUND: &str = "A delivery does not need refunds.";
const NOT_FOR_DELIVERY: &str = "A delivery does not need it.";
const STOCK: &str = "Stock is a matter of the restaurant and of the systems that count it.";
const BEARER: &str = "Who bears a refund is settled between restaurant and platform.";
const REFERENCE: &str = "Only the platform has access to the provider's account.";
const BANK: &str = "The answer of the customer's bank concerns only the customer and the platform.";
const PROVIDER: &str =
    "It may state the balance of the platform or the customer's bank; an admin reviews it.";
const REVIEW: &str = "An admin reviews the difference first; the amounts of the order do not change.";
const WEBHOOKS: &str =
    "Only webhooks contain it, and their endpoints belong to a restaurant or to the platform.";
const INTERVENTION: &str = "It is a matter between platform and restaurant.";

/// Role in which an actor acted.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ActorRole {
    /// A customer.
    Customer,
    /// A member of the restaurant's staff.
    Restaurant,
    /// A courier.
    Courier,
    /// An admin, who runs the platform.
    Admin,
    /// Dabba itself: timers, payment results, confirmations.
    System,
}

public! {
    /// Members of every event.
    Common {
        /// Id of the order.
        order_id: OrderId = [C R K O P];
        /// Id of the restaurant.
        restaurant_id: RestaurantId = [C R K O P];
        /// Number of the event in the order's history, from 1 without gaps.
        version: u32 = [C R K O P];
        /// The whole order after the event, as `GET /v1/orders/{order_id}` shows it to the owner of the endpoint: the
        /// schema `Order` of the API. Present only in webhooks, if the endpoint has the payload `order`.
        order: Option<WholeOrder> = [R O] WEBHOOKS;
    }

    /// Members of every event that this version of Dabba knows.
    Known {
        /// Actor that caused the event.
        actor: Actor = [C R K O P];
    }

    /// Members of an event without its content.
    Withheld {
        /// Actor that caused the event. Absent if the actor cannot be decoded.
        actor: Option<Actor> = [C R K O P];
        /// Present and `true` if the server could not decode the content: a newer version of Dabba wrote it, or it is
        /// damaged. Read the order instead.
        incomplete: Yes = [C R K O P];
    }

    /// Actor that caused an event.
    Actor {
        /// Role in which the actor acted.
        role: ActorRole = [C R K O P];
        /// Account of the actor. Absent if Dabba itself acted.
        account_id: Option<AccountId> = [O] ACCOUNT;
        /// `link` if the holder of a tracking link acted for the customer.
        via: Option<Via> = [C R K O P];
    }

    /// Terms agreed when the order was placed.
    Placed {
        /// Name of the restaurant when the order was placed.
        restaurant_name: Name = [C R K O P];
        /// Account of the customer.
        customer_id: AccountId = [C O] ACCOUNT;
        /// Lines of the order.
        lines: Always<PlacedLine> = [C R K O P];
        /// Fees of the order. Absent without fees, and for orders of older versions of Dabba, whose only fee is in the
        /// amounts.
        fees: Vec<PlacedFee> = [C R O P] NO_MONEY;
        /// Taxes of the order. Absent without taxes, and for orders of older versions of Dabba, whose only tax is in the
        /// amounts.
        taxes: Vec<Tax> = [C R O P] NO_MONEY;
        /// The currency of every amount of the order, in all its events.
        currency: Currency = [C R K O P];
        /// Amounts of the order.
        amounts: Amounts = [C R O P] NO_MONEY;
        /// Delivery or collection.
        fulfilment: Fulfilment = [C R K O P];
        /// Delivery zone of the address, if the restaurant had delivery zones.
        delivery_zone: Option<OrderZone> = [C R K O] WHEREABOUTS;
        /// Contact person.
        contact: Option<Contact> = [C R K O] PERSONAL;
        /// Payment method.
        payment_method: PaymentMethod = [C R K O P];
        /// Amount that the courier collects in cash at the door. Absent if there is nothing to collect.
        cash_to_collect: Option<Amount> = [K O] "The other audiences see the total and the payment method.";
        /// Deadline by which a payment by card must be certain.
        payment_deadline: Option<Timestamp> = [C R O P] "No courier carries an order that waits for its payment.";
        /// Note for the restaurant.
        note: Option<Note> = [C R O] FREE_TEXT;
        /// Revision of the menu from which the order was priced.
        menu_revision: u32 = [R O P] "It only serves systems that store menus.";
        /// Quantities taken from limited stock.
        stock_drawn: Vec<StockDraw> = [R O P] STOCK;
    }

    /// A line as it was sold, with the names and prices at the time of the order, and its taxes.
    PlacedLine {
        /// The item's id in the menu.
        item: Slug = [C R K O P];
        /// The item's name.
        name: Name = [C R K O P];
        /// Quantity.
        quantity: u32 = [C R K O P];
        /// Price of one item with its options.
        unit_price: Amount = [C R O P] NO_MONEY;
        /// `unit_price` × `quantity`.
        total: Amount = [C R O P] NO_MONEY;
        /// Chosen options.
        options: Vec<LineOption> = [C R K O P];
        /// Note for the kitchen.
        note: Option<Note> = [C R O] FREE_TEXT;
        /// Parts of the total that are taxed alike, with their taxes. Absent if no tax applies to the line.
        parts: Vec<TaxedPart> = [C R O P] NO_MONEY;
    }

    /// A line as it was sold, with the names and prices at the time of the order.
    Line {
        /// The item's id in the menu.
        item: Slug = [C R K O P];
        /// The item's name.
        name: Name = [C R K O P];
        /// Quantity.
        quantity: u32 = [C R K O P];
        /// Price of one item with its options.
        unit_price: Amount = [C R O P] NO_MONEY;
        /// `unit_price` × `quantity`.
        total: Amount = [C R O P] NO_MONEY;
        /// Chosen options.
        options: Vec<LineOption> = [C R K O P];
        /// Note for the kitchen.
        note: Option<Note> = [C R O] FREE_TEXT;
    }

    /// A part of a line or a fee that is taxed alike.
    TaxedPart {
        /// Amount of the part, with the taxes that it includes.
        amount: Amount = [C R O P] NO_MONEY;
        /// The part's shares of the order's taxes.
        taxes: Vec<TaxShare> = [C R O P] NO_MONEY;
    }

    /// A share of a tax of the order.
    TaxShare {
        /// Id of the tax.
        tax: Slug = [C R O P] NO_MONEY;
        /// Amount of the share.
        amount: Amount = [C R O P] NO_MONEY;
    }

    /// A fee of an order.
    Fee {
        /// Id of the fee.
        id: Slug = [C R O P] NO_MONEY;
        /// Name of the fee.
        name: Name = [C R O P] NO_MONEY;
        /// Kind of fee.
        kind: FeeKind = [C R O P] NO_MONEY;
        /// Amount, with the taxes that it includes.
        amount: Amount = [C R O P] NO_MONEY;
        /// Who receives the fee, less the taxes that it includes.
        receiver: FeeReceiver = [C R O P] NO_MONEY;
    }

    /// A fee of an order, with its taxes.
    PlacedFee {
        /// Id of the fee.
        id: Slug = [C R O P] NO_MONEY;
        /// Name of the fee.
        name: Name = [C R O P] NO_MONEY;
        /// Kind of fee.
        kind: FeeKind = [C R O P] NO_MONEY;
        /// Amount, with the taxes that it includes.
        amount: Amount = [C R O P] NO_MONEY;
        /// Who receives the fee, less the taxes that it includes.
        receiver: FeeReceiver = [C R O P] NO_MONEY;
        /// Parts of the fee that are taxed alike, with their taxes. Absent if no tax applies to the fee.
        parts: Vec<TaxedPart> = [C R O P] NO_MONEY;
    }

    /// A tax of an order. It is rounded once, on all parts of lines and fees that have it.
    Tax {
        /// Id of the tax.
        id: Slug = [C R O P] NO_MONEY;
        /// Name of the tax.
        name: Name = [C R O P] NO_MONEY;
        /// Authority that receives the tax.
        authority: Name = [C R O P] NO_MONEY;
        /// Rate in percent.
        rate: Rate = [C R O P] NO_MONEY;
        /// Whether prices include the tax.
        included: Inclusion = [C R O P] NO_MONEY;
        /// Who pays the tax to the authority.
        remitted_by: Remitter = [C R O P] NO_MONEY;
        /// Rule by which the tax was rounded.
        rounding: TaxRounding = [C R O P] NO_MONEY;
        /// Sum of the parts that have the tax, with the taxes that they include.
        base: Amount = [C R O P] NO_MONEY;
        /// Amount of the tax.
        amount: Amount = [C R O P] NO_MONEY;
    }

    /// An option as it was sold.
    LineOption {
        /// The group's id in the item.
        group: Slug = [C R K O P];
        /// The option's id in the group.
        option: Slug = [C R K O P];
        /// The option's name.
        name: Name = [C R K O P];
        /// Price of one unit of the option.
        price: Amount = [C R O P] NO_MONEY;
        /// Quantity for one item. Absent: 1.
        quantity: Option<u32> = [C R K O P];
        /// Number of units for one item whose price is charged. Absent: all.
        charged: Option<u32> = [C R O P] NO_MONEY;
    }

    /// Itemized amounts, in minor units of the order's currency.
    Amounts {
        /// Sum of the lines.
        subtotal: Amount = [C R O P] NO_MONEY;
        /// Sum of the taxes that are added to prices.
        tax: Amount = [C R O P] NO_MONEY;
        /// Fee for delivery.
        delivery_fee: Amount = [C R O P] NO_MONEY;
        /// Sum of the other fees. Absent if it is zero.
        other_fees: Option<Amount> = [C R O P] NO_MONEY;
        /// Tip for the courier or the staff.
        tip: Amount = [C R O P] NO_MONEY;
        /// Discount.
        discount: Amount = [C R O P] NO_MONEY;
        /// Total that the customer pays.
        total: Amount = [C R O P] NO_MONEY;
    }

    /// Fulfilment of the order.
    Fulfilment {
        /// Delivery or collection.
        r#type: FulfilmentKind = [C R K O P];
        /// Address of a delivery. Absent for collection.
        address: Option<Address> = [C R K O] PERSONAL;
    }

    /// A delivery zone, as an order keeps it.
    OrderZone {
        /// Id of the zone in the restaurant's settings.
        id: Slug = [C R K O] WHEREABOUTS;
        /// Time that a delivery to the zone takes after the food is ready, in minutes.
        minutes: Option<u32> = [C R K O] WHEREABOUTS;
    }

    /// Address of a delivery.
    Address {
        /// Street and number.
        line1: Name = [C R K O] PERSONAL;
        /// Building, floor, flat.
        line2: Option<Name> = [C R K O] PERSONAL;
        /// Street, without the number.
        street: Option<Name> = [C R K O] PERSONAL;
        /// Number of the building in the street.
        number: Option<Name> = [C R K O] PERSONAL;
        /// Building, floor, flat, without street and number.
        complement: Option<Name> = [C R K O] PERSONAL;
        /// District or neighbourhood.
        district: Option<Name> = [C R K O] PERSONAL;
        /// Town.
        city: Name = [C R K O] PERSONAL;
        /// State, province or region.
        state: Option<Name> = [C R K O] PERSONAL;
        /// Postal code.
        postal_code: Option<Name> = [C R K O] PERSONAL;
        /// ISO 3166-1 alpha-2 country code.
        country: Option<CountryCode> = [C R K O] PERSONAL;
        /// The whole address as the country writes it.
        formatted: Option<Note> = [C R K O] PERSONAL;
        /// Coordinates of the address.
        location: Option<Location> = [C R K O] PERSONAL;
        /// Instructions for reaching the door.
        instructions: Option<Note> = [C R K O] PERSONAL;
    }

    /// Coordinates in degrees.
    Location {
        /// Latitude, -90 to 90.
        lat: f64 = [C R K O] PERSONAL;
        /// Longitude, -180 to 180.
        lng: f64 = [C R K O] PERSONAL;
    }

    /// Contact person.
    Contact {
        /// Name of the person.
        name: Name = [C R K O] PERSONAL;
        /// Telephone number, as the person writes it.
        phone: Option<Phone> = [C R K O] PERSONAL;
    }

    /// A quantity of an item with limited stock.
    StockDraw {
        /// The item.
        item: Slug = [R O P] STOCK;
        /// Quantity.
        quantity: u32 = [R O P] STOCK;
    }

    /// An item that cannot be ordered.
    UnavailableItem {
        /// The item's id in the menu.
        item: Slug = [C R O P] NOT_FOR_DELIVERY;
        /// Time from which the item can be ordered again. Absent: until its availability is changed.
        until: Option<Timestamp> = [C R O P] NOT_FOR_DELIVERY;
    }

    /// The time until which the restaurant must accept.
    Acceptance {
        /// Deadline by which the restaurant must accept.
        acceptance_deadline: Timestamp = [C R O P] NOT_FOR_DELIVERY;
    }

    /// Acceptance by the restaurant.
    Accepted {
        /// Minutes until the food is ready, counted from the event.
        preparation_minutes: u32 = [C R K O P];
        /// Time at which the food should be ready.
        ready_by: Timestamp = [C R K O P];
    }

    /// Rejection by the restaurant.
    Rejected {
        /// Reason for the rejection.
        reason: RejectReason = [C R K O P];
        /// Explanation in the restaurant's own words.
        note: Option<Words> = [C R O] FREE_TEXT;
        /// Items that were unavailable.
        items: Vec<UnavailableItem> = [C R O P] NOT_FOR_DELIVERY;
        /// Whether the order's stock was returned, except that of the unavailable items.
        stock_returned: bool = [R O P] STOCK;
    }

    /// An event without content of its own.
    Plain {}

    /// Assignment of a courier.
    CourierAssigned {
        /// Account of the courier.
        courier_id: AccountId = [R O] ACCOUNT;
        /// Reason why an admin assigned the courier. Present if the admin had to give one.
        reason: Option<InterventionReason> = [R O] INTERVENTION;
        /// Explanation in the admin's own words.
        note: Option<Words> = [O] ADMINS_TEXT;
    }

    /// Delivery to the customer.
    Delivered {
        /// Reason of an admin who reported the delivery instead of the courier.
        reason: Option<InterventionReason> = [R O] INTERVENTION;
        /// Explanation in the admin's own words.
        note: Option<Words> = [O] ADMINS_TEXT;
    }

    /// Cancellation.
    Cancelled {
        /// Reason for the cancellation.
        reason: CancelReason = [C R K O P];
        /// Explanation in the actor's own words. Only operations sees the words of an admin.
        note: Option<Words> = [C R O] FREE_TEXT;
        /// Items that were unavailable.
        items: Vec<UnavailableItem> = [C R O P] NOT_FOR_DELIVERY;
        /// Whether the order's stock was returned, except that of the unavailable items.
        stock_returned: bool = [R O P] STOCK;
        /// Bearer of the refunds that follow from the cancellation.
        borne_by: RefundBearer = [R O] BEARER;
    }

    /// Expiry of the order.
    Expired {
        /// What the order was waiting for.
        waited_for: ExpiryReason = [C R K O P];
        /// Whether the order's stock was returned.
        stock_returned: bool = [R O P] STOCK;
    }

    /// Capture of the payment.
    PaymentCaptured {
        /// Captured amount.
        amount: Amount = [C R O P] NO_MONEY;
    }

    /// Authorization of the payment.
    PaymentAuthorized {
        /// The payment provider's id of the payment.
        reference: PaymentReference = [O] REFERENCE;
    }

    /// Failure of the payment.
    PaymentFailed {
        /// Reason for the failure.
        reason: DeclineReason = [C O] BANK;
        /// Whether the order's stock was returned.
        stock_returned: bool = [R O P] STOCK;
    }

    /// A refund to the customer.
    Refund {
        /// Number of the refund within the order.
        number: RefundNumber = [C R O P] NO_REFUND;
        /// Refunded amount.
        amount: Amount = [C R O P] NO_REFUND;
        /// Refunded lines, if the refund is for certain lines.
        lines: Vec<RefundLine> = [C R O P] NO_REFUND;
        /// Taxes that the refund of lines returns. Absent for other refunds, and if the order does not state its taxes.
        taxes: Vec<TaxShare> = [C R O P] NO_REFUND;
        /// Reason for the refund.
        reason: RefundReason = [C R O P] NO_REFUND;
        /// Explanation in the actor's own words. Only operations sees the words of an admin, and the copy of the words of a
        /// request.
        note: Option<Words> = [C R O] FREE_TEXT;
        /// Bearer of the refund.
        borne_by: RefundBearer = [R O] BEARER;
        /// Present if the money went back at the payment provider without a request by Dabba.
        external: Option<External> = [C R O P] NO_REFUND;
    }

    /// A quantity of one line of the order.
    RefundLine {
        /// Index of the line in the order, from 0.
        line: u32 = [C R O P] NO_REFUND;
        /// Quantity of the line.
        quantity: u32 = [C R O P] NO_REFUND;
    }

    /// Money that went back at the payment provider without Dabba.
    External {
        /// Kind: refund or chargeback.
        kind: ExternalKind = [C R O P] NO_REFUND;
        /// The payment provider's id of the refund or the chargeback.
        reference: PaymentReference = [O] REFERENCE;
        /// Amount with its currency, if the currency differs from the order's.
        money: Option<Money> = [C R O P] NO_REFUND;
    }

    /// An amount with its currency.
    Money {
        /// The amount, in minor units.
        amount: Amount = [C R O P] NO_MONEY;
        /// Its currency.
        currency: Currency = [C R O P] NO_MONEY;
    }

    /// A refund that the payment provider did not make.
    RefundRefused {
        /// Number of the refund within the order.
        number: RefundNumber = [C R O P] NO_REFUND;
        /// Reason for the failure, if the provider gave one.
        reason: Option<RefundFailureReason> = [O] PROVIDER;
    }

    /// The decision on a chargeback.
    ChargebackDecided {
        /// Number of the refund that represents the chargeback.
        number: RefundNumber = [C R O P] NO_REFUND;
    }

    /// A payment of another amount or currency than agreed.
    PaymentDiffers {
        /// The step that differs: authorization or capture.
        step: PaymentStep = [O] REVIEW;
        /// Amount that the provider authorized or captured.
        money: Money = [O] REVIEW;
    }
}
