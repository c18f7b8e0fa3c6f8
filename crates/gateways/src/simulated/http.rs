//! HTTP helpers of the payment client and the webhook sender: creation of requests, and descriptions of
//! failed requests.

use std::time::Duration;

use dabba_store::chain;
use reqwest::{Client, Url, redirect};

/// The reason why an address cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The address is not an http or https address.
    #[error("not an http:// or https:// address")]
    NotHttp,
    /// This machine cannot create an HTTP client.
    #[error("cannot create the HTTP client: {0}")]
    NoClient(String),
}

/// Parses an address and removes credentials from it: the receiver does not need them, and they would appear
/// in logs.
pub(super) fn address(text: &str) -> Result<Url, AddressError> {
    let mut url = Url::parse(text).map_err(|_| AddressError::NotHttp)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(AddressError::NotHttp);
    }
    url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| AddressError::NotHttp)?;
    Ok(url)
}

/// Creates an HTTP client that connects only to the given address: it uses no proxy and follows no redirect.
pub(super) fn client(connect_timeout: Duration) -> Result<Client, AddressError> {
    let client = Client::builder()
        .connect_timeout(connect_timeout)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .tcp_nodelay(true);
    client.build().map_err(|error| AddressError::NoClient(describe(error)))
}

/// Describes why a request failed, with all causes and without the address.
pub(super) fn describe(error: reqwest::Error) -> String {
    chain(&error.without_url())
}
