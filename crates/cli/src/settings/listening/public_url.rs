//! The address under which people reach the server.

use std::str::FromStr;

use super::super::values::read_from_text;

/// Maximum length of the address, in bytes.
const MAX_LENGTH: usize = 1_000;

/// The address under which people reach the server: a URL without a query, and without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicUrl(String);

impl PublicUrl {
    /// Returns the URL, to which a path is appended.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = reqwest::Url::parse(text.trim()).ok();
        let is_plain = |url: &reqwest::Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        let url = url.filter(is_plain).map(|url| url.as_str().trim_end_matches('/').to_owned());
        let url = url.filter(|url| url.len() <= MAX_LENGTH);
        // The text is not repeated, because it may contain a password.
        url.map(Self).ok_or_else(|| {
            format!(
                "must be a URL of at most {MAX_LENGTH} characters with https:// or http:// and a host, without user, query and \
                 fragment, such as https://orders.example.org"
            )
        })
    }
}

read_from_text!(PublicUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_checked_when_read() {
        let read = |text: &str| text.parse::<PublicUrl>().map(|url| url.as_str().to_owned());
        assert_eq!(read("https://Orders.example.org").unwrap(), "https://orders.example.org");
        assert_eq!(read(" http://127.0.0.1:8080/ ").unwrap(), "http://127.0.0.1:8080");
        assert_eq!(read("https://example.org/dabba/").unwrap(), "https://example.org/dabba");
        let long = format!("https://example.org/{}", "a".repeat(MAX_LENGTH));
        for wrong in [
            "orders.example.org",
            "ftp://example.org",
            "https://",
            "https://u:secret@example.org",
            "https://example.org/?a=1",
            "https://example.org/#a",
            &long,
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains("must be a URL") && !error.contains("secret"), "{wrong}");
        }
    }
}
