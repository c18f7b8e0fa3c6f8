//! `OpenAPI` schemas of types whose JSON form differs from their fields.

mod zones;

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
        MAX_AMOUNT, MAX_EXTERNAL_CODE_LENGTH, MAX_IMAGE_URL_LENGTH, MAX_NAME_LENGTH, MAX_PAYMENT_TEXT_LENGTH,
        MAX_PHONE_LENGTH, MAX_SLUG_LENGTH, MAX_TEXT_LENGTH, MIN_PHONE_DIGITS,
    },
    menu::{Gtin, ImageUrl},
    order::{PaymentReference, PaymentToken},
    restaurant::ClockTime,
    tax::Rate,
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
        // `API key` becomes `ApiKeyId`.
        let mut name = String::new();
        for word in K::NAME.split(' ') {
            let (first, rest) = word.split_at_checked(1).unwrap_or_default();
            name.push_str(&first.to_ascii_uppercase());
            name.push_str(&rest.to_ascii_lowercase());
        }
        Cow::Owned(name + "Id")
    }
}

/// Characters that no text may contain, as far as a pattern can express the rules: control characters, line breaks,
/// direction controls, noncharacters, and invisible characters other than joiners and variation selectors.
macro_rules! refused {
    ($controls:literal) => {
        concat!(
            $controls,
            r"\u007f-\u0084\u0086-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e",
            r"\u2060-\u206f\u3164\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
        )
    };
}

/// Pattern of a text without the refused characters and with at least one character that is not white space.
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
                "Any number of lines; every line break becomes a line feed.",
            )
        } else {
            (text_of!(refused!(r"\u0000-\u001f\u0085\u2028\u2029")), "One line.")
        };
        done(string().min_length(Some(1)).max_length(Some(MAX)).pattern(Some(pattern)).description(Some(format!(
            "Text of 1 to {MAX} characters, counted in the Unicode normal form NFC. Surrounding white space is \
             removed. {lines} No control characters, direction controls or other invisible characters, except \
             joiners and variation selectors where a script needs them."
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

impl PartialSchema for Rate {
    fn schema() -> RefOr<Schema> {
        done(
            string()
                .pattern(Some(r"^[0-9]{1,3}(\.[0-9]{1,4})?$"))
                .description(Some(
                    "A rate in percent: a decimal from 0 to 100 with up to 4 decimals, as a string.",
                ))
                .examples([serde_json::json!("8.875")]),
        )
    }
}
impl ToSchema for Rate {}

impl PartialSchema for Slug {
    fn schema() -> RefOr<Schema> {
        done(
            string()
                .min_length(Some(1))
                .max_length(Some(MAX_SLUG_LENGTH))
                .pattern(Some("^[a-z0-9]+(-[a-z0-9]+)*$"))
                .description(Some("Identifier of an item, an option group or an option within a menu."))
                .examples([serde_json::json!("onion-bhaji")]),
        )
    }
}
impl ToSchema for Slug {}

impl PartialSchema for ImageUrl {
    fn schema() -> RefOr<Schema> {
        done(
            string()
                .max_length(Some(MAX_IMAGE_URL_LENGTH))
                .pattern(Some(
                    r"^https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]+)?([/?#][!#-;=?-Z\[\]_a-z~]*)?$",
                ))
                .description(Some(
                    "Address of an image: an absolute `https` URL. Dabba does not fetch the image.",
                ))
                .examples([serde_json::json!("https://img.example/naan.jpg")]),
        )
    }
}
impl ToSchema for ImageUrl {}

impl PartialSchema for Gtin {
    fn schema() -> RefOr<Schema> {
        done(
            string()
                .pattern(Some("^([0-9]{8}|[0-9]{12,14})$"))
                .description(Some(
                    "Number of a trade item in its bar code (EAN, UPC): a GTIN of 8, 12, 13 or 14 digits with its check digit \
                     (GS1 General Specifications, section 7.9).",
                ))
                .examples([serde_json::json!("4006381333931")]),
        )
    }
}
impl ToSchema for Gtin {}

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        done(
            ObjectBuilder::new()
                .schema_type(SchemaType::new(Type::Integer))
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
                .minimum(Some(0))
                .maximum(Some(MAX_AMOUNT))
                .description(Some(
                    "Amount of money in minor units of the currency that the same document states.",
                )),
        )
    }
}
impl ToSchema for Amount {}

impl PartialSchema for Currency {
    fn schema() -> RefOr<Schema> {
        done(
            string()
                .pattern(Some("^[A-Z]{3}$"))
                .description(Some("ISO 4217 currency code."))
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
                .description(Some("Time of day, to the minute."))
                .examples([serde_json::json!("18:30")]),
        )
    }
}
impl ToSchema for ClockTime {}

/// Schema of an identifier from a payment provider.
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
        payment_text("Token that the payment provider issued for the customer's card.")
    }
}
impl ToSchema for PaymentToken {}

impl PartialSchema for PaymentReference {
    fn schema() -> RefOr<Schema> {
        payment_text("The payment provider's id of a payment, a refund or a chargeback.")
    }
}
impl ToSchema for PaymentReference {}
