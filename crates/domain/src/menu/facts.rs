//! What a menu states about an item or an option: allergens, diets, the number of the trade item, images.

use serde::{Deserialize, Serialize};

use super::validation::check_count;
use crate::{
    Problems,
    limits::{MAX_IMAGE_URL_LENGTH, MAX_IMAGES},
};

/// Maximum length of a refused value in a message, in characters.
const MAX_QUOTED_LENGTH: usize = 64;

/// Defines an enum with a closed list of codes.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$entry:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$entry])* $variant,)*
        }

        impl $name {
            /// All codes, in the order of the source.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the code.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }
        }
    };
}

codes! {
    /// An allergen: the 14 substances and products of Regulation (EU) No 1169/2011, annex II.
    Allergen {
        /// Cereals containing gluten: wheat, rye, barley, oats, spelt, kamut.
        Gluten = "gluten",
        /// Crustaceans.
        Crustaceans = "crustaceans",
        /// Eggs.
        Eggs = "eggs",
        /// Fish.
        Fish = "fish",
        /// Peanuts.
        Peanuts = "peanuts",
        /// Soybeans.
        Soybeans = "soybeans",
        /// Milk, including lactose.
        Milk = "milk",
        /// Nuts: almonds, hazelnuts, walnuts, cashews, pecan nuts, Brazil nuts, pistachio nuts, macadamia nuts.
        Nuts = "nuts",
        /// Celery.
        Celery = "celery",
        /// Mustard.
        Mustard = "mustard",
        /// Sesame seeds.
        Sesame = "sesame",
        /// Sulphur dioxide and sulphites.
        Sulphites = "sulphites",
        /// Lupin.
        Lupin = "lupin",
        /// Molluscs.
        Molluscs = "molluscs",
    }
}

codes! {
    /// A diet that the food is suitable for: the members of `RestrictedDiet` of schema.org without their suffix `Diet`, and
    /// `lactose_free`, for which schema.org has no member.
    Diet {
        /// Suitable for people with diabetes.
        Diabetic = "diabetic",
        /// Without gluten.
        GlutenFree = "gluten_free",
        /// Conforms to Islamic dietary practices.
        Halal = "halal",
        /// Conforms to Hindu dietary practices, in particular without beef.
        Hindu = "hindu",
        /// Conforms to Jewish dietary practices.
        Kosher = "kosher",
        /// With reduced calorie intake.
        LowCalorie = "low_calorie",
        /// With reduced fat.
        LowFat = "low_fat",
        /// With little lactose.
        LowLactose = "low_lactose",
        /// With reduced sodium.
        LowSalt = "low_salt",
        /// Without animal products.
        Vegan = "vegan",
        /// Without meat.
        Vegetarian = "vegetarian",
        /// Without lactose.
        LactoseFree = "lactose_free",
    }
}

/// Address of an image: an absolute `https` URL of at most [`MAX_IMAGE_URL_LENGTH`] ASCII characters. Dabba does not fetch
/// the image.
///
/// A stored menu is read without a check, like the texts in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageUrl(String);

/// The text is not a valid [`ImageUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an absolute URL that starts with https:// and a host name, with at most {MAX_IMAGE_URL_LENGTH} of the \
     characters that RFC 3986 allows, and without a user name"
)]
pub struct ImageUrlError;

impl ImageUrl {
    /// Checks the address of an image.
    pub fn new(text: &str) -> Result<Self, ImageUrlError> {
        let rest = text.strip_prefix("https://").ok_or(ImageUrlError)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
        let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_of_host);
        let is_of_url = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
        let is_valid = text.len() <= MAX_IMAGE_URL_LENGTH
            && host.split('.').all(is_label)
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
            && rest.bytes().all(is_of_url);
        if is_valid { Ok(Self(text.to_owned())) } else { Err(ImageUrlError) }
    }

    /// Returns the URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Number of a trade item, as its bar code contains it: a GTIN of 8, 12, 13 or 14 digits whose last digit is the check digit
/// of the GS1 General Specifications, section 7.9. Leading zeros are kept.
///
/// A stored menu is read without a check, like the texts in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Gtin(String);

/// The text is not a valid [`Gtin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GtinError {
    /// The text does not have the form of a GTIN.
    #[error("must be a GTIN of 8, 12, 13 or 14 digits")]
    Form,
    /// The last digit is not the check digit of the others.
    #[error("must end with its check digit {check_digit}; a digit is wrong, or two digits are swapped")]
    CheckDigit {
        /// The check digit.
        check_digit: u32,
    },
}

impl Gtin {
    /// Checks a GTIN.
    pub fn new(text: &str) -> Result<Self, GtinError> {
        let digits: Option<Vec<u32>> = text.chars().map(|character| character.to_digit(10)).collect();
        let digits = digits.filter(|digits| matches!(digits.len(), 8 | 12..=14)).ok_or(GtinError::Form)?;
        let (last, others) = digits.split_last().ok_or(GtinError::Form)?;
        // From the right, the digits before the check digit have the weights 3, 1, 3, 1, …
        let weighted = others.iter().rev().zip([3, 1].into_iter().cycle());
        let sum: u32 = weighted.map(|(digit, weight)| digit * weight).sum();
        let check_digit = (10 - sum % 10) % 10;
        if *last == check_digit {
            Ok(Self(text.to_owned()))
        } else {
            Err(GtinError::CheckDigit { check_digit })
        }
    }

    /// Returns the digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a menu states about an item or an option.
pub(super) struct Facts {
    pub allergens: Option<Vec<Allergen>>,
    pub diets: Vec<Diet>,
    pub ean: Option<Gtin>,
}

/// The statements of a document, not yet validated.
pub(super) struct StatedFacts<'a> {
    pub allergens: Option<&'a [String]>,
    pub diets: &'a [String],
    pub ean: Option<&'a str>,
}

impl StatedFacts<'_> {
    /// Checks the statements about the entry at `pointer`. A statement with a problem is left out.
    pub(super) fn validate(&self, pointer: &str, problems: &mut Problems) -> Facts {
        let Self { allergens, diets, ean } = self;
        let allergens = allergens.map(|names| {
            listed(names, Allergen::ALL, Allergen::as_str, &format!("{pointer}/allergens"), problems)
        });
        let diets = listed(diets, Diet::ALL, Diet::as_str, &format!("{pointer}/diets"), problems);
        let ean = ean.and_then(|ean| problems.check(format!("{pointer}/ean"), Gtin::new(ean)));
        Facts { allergens, diets, ean }
    }
}

/// Returns the codes with these names, and adds a problem for each name that is unknown or occurs twice.
fn listed<T: Copy + PartialEq>(
    names: &[String],
    all: &[T],
    as_str: fn(T) -> &'static str,
    pointer: &str,
    problems: &mut Problems,
) -> Vec<T> {
    check_count(problems, pointer, names.len(), all.len());
    let mut found = Vec::with_capacity(names.len().min(all.len()));
    for (index, name) in names.iter().take(all.len()).enumerate() {
        let pointer = format!("{pointer}/{index}");
        match all.iter().find(|code| as_str(**code) == name) {
            None => {
                let allowed: Vec<_> = all.iter().map(|code| as_str(*code)).collect();
                let quoted: String = name.chars().take(MAX_QUOTED_LENGTH).collect();
                problems.add(pointer, format!("must be one of {}, not {quoted:?}", allowed.join(", ")));
            }
            Some(code) if found.contains(code) => {
                problems.add(pointer, format!("must not name {name} twice"));
            }
            Some(code) => found.push(*code),
        }
    }
    found
}

/// Checks the addresses of the images of an entry.
pub(super) fn images(urls: &[String], pointer: &str, problems: &mut Problems) -> Vec<ImageUrl> {
    check_count(problems, pointer, urls.len(), MAX_IMAGES);
    let urls = urls.iter().take(MAX_IMAGES).enumerate();
    urls.filter_map(|(index, url)| problems.check(format!("{pointer}/{index}"), ImageUrl::new(url))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_their_names_in_json() {
        for allergen in Allergen::ALL {
            assert_eq!(serde_json::to_value(allergen).unwrap(), allergen.as_str());
        }
        for diet in Diet::ALL {
            assert_eq!(serde_json::to_value(diet).unwrap(), diet.as_str());
        }
        assert_eq!((Allergen::ALL.len(), Diet::ALL.len()), (14, 12));
    }

    #[test]
    fn the_check_digit_of_a_gtin_is_verified() {
        for good in
            ["96385074", "614141000036", "4006381333931", "5901234123457", "10614141000415", "00000000"]
        {
            assert_eq!(Gtin::new(good).unwrap().as_str(), good);
        }
        assert_eq!(Gtin::new("4006381333930"), Err(GtinError::CheckDigit { check_digit: 1 }));
        assert_eq!(Gtin::new("4006381333913"), Err(GtinError::CheckDigit { check_digit: 7 }));
        for bad in
            ["", "9638507", "963850741", "4006381 33393", "40063813339x1", "٤٠٠٦٣٨١٣٣٣٩٣١", "123456789012345"]
        {
            assert_eq!(Gtin::new(bad), Err(GtinError::Form), "{bad:?}");
        }
    }

    #[test]
    fn images_are_absolute_https_urls() {
        let longest = format!("https://a.example/{}", "x".repeat(MAX_IMAGE_URL_LENGTH - 18));
        for good in [
            "https://img.example/naan.jpg?w=1&h=2#x",
            "https://img.example:8443",
            "https://h/%C3%A9",
            &longest,
        ] {
            assert_eq!(ImageUrl::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "http://img.example/a",
            "HTTPS://img.example/a",
            "https://",
            "https:///a",
            "https://user@img.example/a",
            "https://user:secret@img.example/a",
            "https://img..example/a",
            "https://img.example:/a",
            "https://img.example:+1/a",
            "https://img.example:0/a",
            "https://img.example/a b",
            "https://img.example/\"><script>",
            "https://img.example/é",
            "javascript:alert(1)",
            &format!("{longest}x"),
        ] {
            assert_eq!(ImageUrl::new(bad), Err(ImageUrlError), "{bad:?}");
        }
    }
}
