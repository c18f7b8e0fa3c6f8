//! What the client of payments and the sender of webhooks have in common: how they make requests, and what
//! they say of requests that fail.

use std::time::Duration;

use dabba_store::chain;
use reqwest::{Client, Url, redirect};

/// An address, or the means to reach it, is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is not the address of something that is offered over HTTP.
    #[error("not an http:// or https:// address")]
    NotHttp,
    /// Requests cannot be made on this machine.
    #[error("no HTTP client can be set up: {0}")]
    NoClient(String),
}

/// Reads an address. What credentials are in it is left out: nobody asks for them, and they would turn up in
/// logs.
pub(super) fn address(text: &str) -> Result<Url, AddressError> {
    let mut url = Url::parse(text).map_err(|_| AddressError::NotHttp)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(AddressError::NotHttp);
    }
    url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| AddressError::NotHttp)?;
    Ok(url)
}

/// Makes requests to where they are addressed and nowhere else: by no proxy, and following no redirect.
pub(super) fn client(connect_timeout: Duration) -> Result<Client, AddressError> {
    let client = Client::builder()
        .connect_timeout(connect_timeout)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .tcp_nodelay(true);
    client.build().map_err(|error| AddressError::NoClient(describe(error)))
}

/// What went wrong with a request, with its causes. The address is left out.
pub(super) fn describe(error: reqwest::Error) -> String {
    chain(&error.without_url())
}
