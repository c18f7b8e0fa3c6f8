//! `OpenAPI` schemas of the types whose JSON is not what their fields say.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, Object, ObjectBuilder, RefOr, Schema, SchemaFormat,
        schema::{SchemaType, Type},
    },
};

use crate::{
    Amount, Currency,
    ids::{Id, IdKind},
    limits::{MAX_AMOUNT, MAX_NAME_LENGTH, MAX_PAYMENT_TEXT_LENGTH, MAX_SLUG_LENGTH, MAX_TEXT_LENGTH},
    order::{PaymentReference, PaymentToken},
    restaurant::ClockTime,
    text::{Slug, Text},
};

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String))
}

fn done(object: impl Into<Object>) -> RefOr<Schema> {
    RefOr::T(Schema::Object(object.into()))
}

impl<K: IdKind> PartialSchema for Id<K> {
    fn schema() -> RefOr<Schema> {
        done(
            string()
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
                .description(Some(format!("Identifies one {}: a UUIDv7.", K::NAME))),
        )
    }
}
impl<K: IdKind> ToSchema for Id<K> {
    fn name() -> Cow<'static, str> {
        let mut name = String::from(K::NAME);
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Cow::Owned(name + "Id")
    }
}

impl<const MAX: usize> PartialSchema for Text<MAX> {
    fn schema() -> RefOr<Schema> {
        done(
            string()
                .min_length(Some(1))
                .max_length(Some(MAX))
                // Something other than white space, and no control characters but line feeds.
                .pattern(Some(r"^[^\u0000-\u0009\u000b-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u0009\u000b-\u001f\u007f-\u009f]*$"))
                .description(Some(format!(
                    "Text of 1 to {MAX} characters, counted without the white space around it, which is taken \
                     off. No control characters but line feeds."
                ))),
        )
    }
}
impl<const MAX: usize> ToSchema for Text<MAX> {
    fn name() -> Cow<'static, str> {
        match MAX {
            MAX_NAME_LENGTH => Cow::Borrowed("Name"),
            MAX_TEXT_LENGTH => Cow::Borrowed("Note"),
            _ => Cow::Owned(format!("Text{MAX}")),
        }
    }
}

impl PartialSchema for Slug {
    fn schema() -> RefOr<Schema> {
        done(
            string()
                .min_length(Some(1))
                .max_length(Some(MAX_SLUG_LENGTH))
                .pattern(Some("^[a-z0-9]+(-[a-z0-9]+)*$"))
                .description(Some("Identifies something within a menu."))
                .examples([serde_json::json!("onion-bhaji")]),
        )
    }
}
impl ToSchema for Slug {}

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        done(
            ObjectBuilder::new()
                .schema_type(SchemaType::new(Type::Integer))
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
                .minimum(Some(0))
                .maximum(Some(MAX_AMOUNT))
                .description(Some("An amount of money in minor units of the currency beside it.")),
        )
    }
}
impl ToSchema for Amount {}

impl PartialSchema for Currency {
    fn schema() -> RefOr<Schema> {
        done(
            string()
                .pattern(Some("^[A-Z]{3}$"))
                .description(Some("Currency code of ISO 4217."))
                .examples([serde_json::json!("GBP")]),
        )
    }
}
impl ToSchema for Currency {}

impl PartialSchema for ClockTime {
    fn schema() -> RefOr<Schema> {
        done(
            string()
                .pattern(Some("^([01][0-9]|2[0-3]):[0-5][0-9]$"))
                .description(Some("A time of day to the minute."))
                .examples([serde_json::json!("18:30")]),
        )
    }
}
impl ToSchema for ClockTime {}

/// What a payment provider hands out.
fn payment_text(description: &str) -> RefOr<Schema> {
    done(
        string()
            .min_length(Some(1))
            .max_length(Some(MAX_PAYMENT_TEXT_LENGTH))
            .pattern(Some("^[A-Za-z0-9_-]+$"))
            .description(Some(description)),
    )
}

impl PartialSchema for PaymentToken {
    fn schema() -> RefOr<Schema> {
        payment_text("What the payment provider gave in exchange for the customer's card.")
    }
}
impl ToSchema for PaymentToken {}

impl PartialSchema for PaymentReference {
    fn schema() -> RefOr<Schema> {
        payment_text("What the payment provider calls a payment.")
    }
}
impl ToSchema for PaymentReference {}
