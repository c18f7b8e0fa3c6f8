//! How a public type is written for an audience, and how it is described: both follow from one declaration.
//!
//! [`public!`] declares a struct whose members state their audiences. It implements [`Public`] for the struct, so the
//! serialization and the description of a member cannot differ.

use std::borrow::Cow;

use dabba_domain::{
    AccountId, Amount, Currency, DisplayCode, OrderId, RestaurantId, Timestamp, Via,
    fee::{FeeKind, FeeReceiver},
    order::{
        AllowedAction, CancelReason, DeclineReason, ExpiryReason, ExternalKind, InterventionReason,
        OrderStatus, PaymentMethod, PaymentReference, PaymentStatus, PaymentStep, RefundBearer,
        RefundFailureReason, RefundNumber, RefundReason, RefundStatus, RejectReason,
    },
    pricing::FulfilmentKind,
    restaurant::Zone,
    tax::{Inclusion, Rate, Remitter, TaxRounding},
    text::{Name, Note, Phone, Slug},
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Value, json, value::RawValue};
use utoipa::ToSchema;

use super::Audience;

/// Description of a public type.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A value without members.
    Value {
        /// Name of its definition in the schema; `None` for a value that is described in place.
        name: Option<Cow<'static, str>>,
        /// Its JSON Schema.
        schema: Value,
    },
    /// An object.
    Object(ObjectShape),
    /// A list of values of one shape.
    List(Box<Self>),
    /// One of several objects, each with the value of its first member, which tells them apart.
    OneOf(Vec<(&'static str, ObjectShape)>),
}

/// Description of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectShape {
    /// Name of the type.
    pub name: &'static str,
    /// Meaning of the type.
    pub description: String,
    /// The members, in the order in which they are written.
    pub members: Vec<Member>,
}

/// Description of a member of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Name.
    pub name: &'static str,
    /// Meaning.
    pub description: String,
    /// Shape of the value.
    pub shape: Shape,
    /// Whether the member is always present for its audiences.
    pub is_required: bool,
    /// Audiences that see the member.
    pub audiences: &'static [Audience],
    /// Reason why the other audiences do not see it; empty if all audiences see it.
    pub reason: &'static str,
}

impl Member {
    /// Returns whether an audience sees the member.
    pub fn is_visible_to(&self, audience: Audience) -> bool {
        self.audiences.contains(&audience)
    }

    pub(super) fn of<T: Public>(
        name: &'static str,
        description: String,
        audiences: &'static [Audience],
        reason: &'static str,
    ) -> Self {
        let (shape, is_required) = (T::shape(), T::IS_REQUIRED);
        Self { name: plain(name), description, shape, is_required, audiences, reason }
    }
}

/// Returns the name of a field without the mark of a raw identifier, as in `r#type`.
fn plain(name: &'static str) -> &'static str {
    name.strip_prefix("r#").unwrap_or(name)
}

/// Returns the lines of a doc comment as one text.
pub(super) fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// A type that public events contain.
pub(super) trait Public {
    /// Whether a member of this type is always present.
    const IS_REQUIRED: bool = true;

    /// Returns whether a member with this value is omitted for an audience that may see the member.
    fn is_omitted(&self, _audience: Audience) -> bool {
        false
    }

    /// Writes the value as an audience sees it.
    fn write<S: Serializer>(&self, audience: Audience, serializer: S) -> Result<S::Ok, S::Error>;

    /// Returns the description of the type.
    fn shape() -> Shape;
}

/// A public type with members.
pub(super) trait Members {
    /// Writes the members that an audience sees.
    fn write_members<M: SerializeMap>(&self, audience: Audience, map: &mut M) -> Result<(), M::Error>;

    /// Returns the description of the type.
    fn object() -> ObjectShape;
}

/// A value as an audience sees it.
pub(super) struct Seen<'a, T: ?Sized>(pub(super) &'a T, pub(super) Audience);

impl<T: Public + ?Sized> Serialize for Seen<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(self.1, serializer)
    }
}

/// Writes a member if the audience may see it and it has a value.
pub(super) fn write_member<T: Public, M: SerializeMap>(
    map: &mut M,
    name: &'static str,
    value: &T,
    audiences: &[Audience],
    audience: Audience,
) -> Result<(), M::Error> {
    if !audiences.contains(&audience) || value.is_omitted(audience) {
        return Ok(());
    }
    map.serialize_entry(plain(name), &Seen(value, audience))
}

/// Declares public structs, for the module `public`. After the type of each member come the letters of the audiences
/// that see it (constants of `public/table.rs`), and the reason why the others do not.
macro_rules! public {
    ($(
        $(#[doc = $doc:literal])+
        $type:ident {$(
            $(#[doc = $about:literal])+
            $field:ident: $kind:ty = [$($letter:ident)+] $($reason:expr)?;
        )*}
    )+) => {$(
        $(#[doc = $doc])+
        pub(in $crate::public) struct $type {$(
            $(#[doc = $about])+
            pub(in $crate::public) $field: $kind,
        )*}

        impl $crate::public::shape::Members for $type {
            fn write_members<M: serde::ser::SerializeMap>(
                &self,
                audience: $crate::public::Audience,
                map: &mut M,
            ) -> Result<(), M::Error> {
                let _ = (audience, &map); // A type without members uses neither.
                $($crate::public::shape::write_member(
                    map, stringify!($field), &self.$field, &[$($letter),+], audience,
                )?;)*
                Ok(())
            }

            fn object() -> $crate::public::shape::ObjectShape {
                $crate::public::shape::ObjectShape {
                    name: stringify!($type),
                    description: $crate::public::shape::joined(&[$($doc),+]),
                    members: vec![$($crate::public::shape::Member::of::<$kind>(
                        stringify!($field),
                        $crate::public::shape::joined(&[$($about),+]),
                        &[$($letter),+],
                        reason_of!($($reason)?),
                    )),*],
                }
            }
        }

        impl $crate::public::shape::Public for $type {
            fn write<S: serde::Serializer>(
                &self,
                audience: $crate::public::Audience,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                let mut map = serde::Serializer::serialize_map(serializer, None)?;
                $crate::public::shape::Members::write_members(self, audience, &mut map)?;
                serde::ser::SerializeMap::end(map)
            }

            fn shape() -> $crate::public::shape::Shape {
                $crate::public::shape::Shape::Object(<Self as $crate::public::shape::Members>::object())
            }
        }
    )+};
}
pub(super) use public;

/// Returns the reason of a member, or an empty text.
macro_rules! reason_of {
    () => {
        ""
    };
    ($reason:expr) => {
        $reason
    };
}
pub(super) use reason_of;

impl<T: Public> Public for Option<T> {
    const IS_REQUIRED: bool = false;

    fn is_omitted(&self, audience: Audience) -> bool {
        self.as_ref().is_none_or(|value| value.is_omitted(audience))
    }

    fn write<S: Serializer>(&self, audience: Audience, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(value) => value.write(audience, serializer),
            None => serializer.serialize_none(),
        }
    }

    fn shape() -> Shape {
        T::shape()
    }
}

/// A list that is omitted if it is empty.
impl<T: Public> Public for Vec<T> {
    const IS_REQUIRED: bool = false;

    fn is_omitted(&self, _audience: Audience) -> bool {
        self.is_empty()
    }

    fn write<S: Serializer>(&self, audience: Audience, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|value| Seen(value, audience)))
    }

    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }
}

/// A list that is always present.
pub(super) struct Always<T>(pub(super) Vec<T>);

impl<T: Public> Public for Always<T> {
    fn write<S: Serializer>(&self, audience: Audience, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(audience, serializer)
    }

    fn shape() -> Shape {
        Vec::<T>::shape()
    }
}

/// An explanation in an actor's own words. The words of an admin are an internal note: only operations sees it.
pub(super) struct Words {
    /// The text.
    pub(super) text: Note,
    /// Whether an admin wrote it, or may have written it.
    pub(super) is_internal: bool,
}

impl Public for Words {
    fn is_omitted(&self, audience: Audience) -> bool {
        self.is_internal && audience != Audience::Operations
    }

    fn write<S: Serializer>(&self, audience: Audience, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.write(audience, serializer)
    }

    fn shape() -> Shape {
        Note::shape()
    }
}

/// The value `true`, of a member that is otherwise omitted.
pub(super) struct Yes;

impl Public for Yes {
    fn write<S: Serializer>(&self, _audience: Audience, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }

    fn shape() -> Shape {
        Shape::Value { name: None, schema: json!({"const": true}) }
    }
}

/// A whole order, as the API represents it for the reader. The API decides what the reader sees of it.
#[derive(Serialize)]
pub(super) struct WholeOrder(pub(super) Box<RawValue>);

/// Values that consist of one text or one number, so that they contain nothing beyond their meaning: named definitions of
/// the schema, and values described in place. A whole order is described by the API.
macro_rules! values {
    ($($type:ty),+; $($in_place:ty => $schema:expr),+ $(,)?) => {
        $(impl Public for $type {
            fn write<S: Serializer>(&self, _audience: Audience, serializer: S) -> Result<S::Ok, S::Error> {
                self.serialize(serializer)
            }

            fn shape() -> Shape {
                let schema = serde_json::to_value(<$type as utoipa::PartialSchema>::schema());
                Shape::Value { name: Some(<$type as ToSchema>::name()), schema: schema.unwrap_or_default() }
            }
        })+
        $(impl Public for $in_place {
            fn write<S: Serializer>(&self, _audience: Audience, serializer: S) -> Result<S::Ok, S::Error> {
                self.serialize(serializer)
            }

            fn shape() -> Shape {
                Shape::Value { name: None, schema: $schema }
            }
        })+
    };
}

values! {
    OrderId, RestaurantId, AccountId, Amount, Currency, Name, Note, Phone, Slug, PaymentReference, PaymentMethod,
    FulfilmentKind, FeeKind, FeeReceiver, Inclusion, Rate, Remitter, TaxRounding, CancelReason, RejectReason, InterventionReason, ExpiryReason, DeclineReason, RefundReason,
    RefundFailureReason, RefundBearer, ExternalKind, PaymentStep, OrderStatus, PaymentStatus, RefundStatus, AllowedAction,
    Via, super::table::ActorRole, super::table::ClosureKind;
    u32 => json!({"type": "integer", "minimum": 0}),
    RefundNumber => json!({"type": "integer", "minimum": 1}),
    f64 => json!({"type": "number"}),
    bool => json!({"type": "boolean"}),
    Timestamp => json!({"type": "string", "format": "date-time"}),
    DisplayCode => json!({"type": "string"}),
    Zone => json!({"type": "string"}),
    super::table::ReasonName => json!({"type": "string"}),
    super::table::CountryCode => json!({"type": "string"}),
    WholeOrder => json!({"type": "object"}),
}
