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
    limits::{
        MAX_AMOUNT, MAX_EXTERNAL_CODE_LENGTH, MAX_NAME_LENGTH, MAX_PAYMENT_TEXT_LENGTH, MAX_PHONE_LENGTH,
        MAX_SLUG_LENGTH, MAX_TEXT_LENGTH, MIN_PHONE_DIGITS,
    },
    order::{PaymentReference, PaymentToken},
    restaurant::ClockTime,
    text::{Phone, Slug, Text},
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

/// The characters that no text may have, as far as a pattern can say it: no control characters, no line breaks, no
/// direction controls, nothing invisible but joiners and variation selectors, no noncharacters.
macro_rules! refused {
    ($controls:literal) => {
        concat!(
            $controls,
            r"\u007f-\u0084\u0086-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e",
            r"\u2060-\u206f\u3164\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
        )
    };
}

/// A text of such characters with at least one that is no white space.
macro_rules! text_of {
    ($refused:expr) => {
        concat!("^[^", $refused, r"]*[^\s", $refused, "][^", $refused, "]*$")
    };
}

impl<const MAX: usize, const SEVERAL_LINES: bool> PartialSchema for Text<MAX, SEVERAL_LINES> {
    fn schema() -> RefOr<Schema> {
        let (pattern, lines) = if SEVERAL_LINES {
            (
                text_of!(refused!(r"\u0000-\u0008\u000b\u000c\u000e-\u001f")),
                "Any number of lines; each kind of line break becomes a line feed.",
            )
        } else {
            (text_of!(refused!(r"\u0000-\u001f\u0085\u2028\u2029")), "One line.")
        };
        done(string().min_length(Some(1)).max_length(Some(MAX)).pattern(Some(pattern)).description(Some(format!(
            "Text of 1 to {MAX} characters, counted in the Unicode normal form NFC and without the white space around \
             it, which is taken off. {lines} No control characters, no direction controls, and nothing invisible but \
             the joiners and variation selectors that writing needs."
        ))))
    }
}
impl<const MAX: usize, const SEVERAL_LINES: bool> ToSchema for Text<MAX, SEVERAL_LINES> {
    fn name() -> Cow<'static, str> {
        match MAX {
            MAX_NAME_LENGTH => Cow::Borrowed("Name"),
            MAX_TEXT_LENGTH => Cow::Borrowed("Note"),
            MAX_EXTERNAL_CODE_LENGTH => Cow::Borrowed("ExternalCode"),
            _ => Cow::Owned(format!("Text{MAX}")),
        }
    }
}

impl PartialSchema for Phone {
    fn schema() -> RefOr<Schema> {
        done(
            string()
                .min_length(Some(MIN_PHONE_DIGITS))
                .max_length(Some(MAX_PHONE_LENGTH))
                .description(Some(format!(
                    "A telephone number as its owner writes it: at least {MIN_PHONE_DIGITS} digits, with spaces, letters \
                     (`ext. 5`) and the marks + - ( ) . / # * , ; : between them."
                )))
                .examples([serde_json::json!("+44 161 496 0000")]),
        )
    }
}
impl ToSchema for Phone {}

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
