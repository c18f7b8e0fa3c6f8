//! Responses that Dabba does not send: those of a proxy, of a login page, or of another program at the address.

use std::fmt;

use reqwest::{
    Url,
    header::{CONTENT_TYPE, HeaderMap, LOCATION},
};

use super::ClientError;

/// Maximum number of characters of a text of the response in a message.
const MAX_SHOWN: usize = 200;

/// Where a response came from, for messages about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    url: String,
    status: u16,
    content_type: Option<String>,
    /// The address to which the response redirects.
    location: Option<String>,
}

/// A response that is not one of Dabba's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignResponse {
    origin: Origin,
    /// What the client expected, after "expected".
    expected: String,
}

impl Origin {
    pub(super) fn of(response: &reqwest::Response, url: &str) -> Self {
        let status = response.status();
        let headers = response.headers();
        let location = status.is_redirection().then(|| header(headers, LOCATION.as_str())).flatten();
        // A relative address is shown as the address to which a browser would go.
        let absolute = |location: String| match Url::parse(url).and_then(|url| url.join(&location)) {
            Ok(url) => url.into(),
            Err(_) => location,
        };
        Self {
            url: url.to_owned(),
            status: status.as_u16(),
            content_type: header(headers, CONTENT_TYPE.as_str()),
            location: location.map(absolute),
        }
    }

    /// Returns the status.
    pub(super) const fn status(&self) -> u16 {
        self.status
    }

    /// Returns whether the response has this media type, whatever its parameters.
    pub(super) fn has_media_type(&self, wanted: &[&str]) -> bool {
        let essence = self.content_type.as_deref().unwrap_or_default().split(';').next().unwrap_or_default();
        wanted.iter().any(|wanted| essence.trim().eq_ignore_ascii_case(wanted))
    }

    /// Returns the error of a response without what the client expected.
    pub(super) fn without(&self, expected: impl Into<String>) -> ClientError {
        let (origin, expected) = (self.clone(), expected.into());
        ClientError::Foreign(Box::new(ForeignResponse { origin, expected }))
    }
}

/// Returns a header that is text without control characters.
fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

impl ForeignResponse {
    /// Returns the HTTP status.
    pub const fn status(&self) -> u16 {
        self.origin.status
    }
}

impl fmt::Display for ForeignResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin: Origin { url, status, content_type, location }, expected } = self;
        if let Some(location) = location {
            return write!(
                formatter,
                "{url} responded with status {status} and redirects to {}; redirects are not followed, because the \
                 request contains a token: give the URL at which Dabba itself responds",
                cut(location)
            );
        }
        write!(formatter, "{url} responded with status {status} and ")?;
        match content_type {
            Some(content_type) => write!(formatter, "the content type {}", cut(content_type))?,
            None => formatter.write_str("no content type")?,
        }
        write!(
            formatter,
            ", which is no response of Dabba: expected {expected}; check that the URL leads to a Dabba server, and not to \
             a proxy's page or another program"
        )
    }
}

/// Returns the beginning of a text, with an ellipsis if the text is cut.
fn cut(text: &str) -> String {
    let mut characters = text.chars();
    let shown: String = characters.by_ref().take(MAX_SHOWN).collect();
    shown + if characters.next().is_some() { "…" } else { "" }
}

#[cfg(test)]
mod tests {
    use dabba_testkit::CannedServer;
    use serde::Deserialize;

    use super::*;
    use crate::{Client, ClientResponse, client::MAX_BODY_BYTES};

    async fn get(server: &CannedServer) -> Result<ClientResponse, ClientError> {
        Client::new(&server.url()).unwrap().with_token("T").get("/v1/orders").send().await
    }

    /// Proves that no redirect is followed, so that no other address gets the token, and that the error states where
    /// the response redirects, for absolute and for relative addresses.
    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let elsewhere = CannedServer::start("200 OK", &[("content-type", "application/json")], "{}");
        for (status, location, shown) in [
            ("301 Moved", elsewhere.url(), format!("{}/", elsewhere.url())),
            (
                "302 Found",
                "https://login.example/?next=1".to_owned(),
                "https://login.example/?next=1".to_owned(),
            ),
            ("307 Temporary", "/login".to_owned(), "/login; ".to_owned()),
            ("308 Permanent", format!("{}/v1/orders/", elsewhere.url()), "/v1/orders/".to_owned()),
        ] {
            let server = CannedServer::start(status, &[("location", &location)], "");
            let streamed = Client::new(&server.url()).unwrap().with_token("T").get("/v1/orders").open().await;
            for error in [get(&server).await.unwrap_err(), streamed.unwrap_err()] {
                let text = error.to_string();
                let begin = format!(
                    "{}/v1/orders responded with status {} and redirects to ",
                    server.url(),
                    &status[..3]
                );
                assert!(
                    text.starts_with(&begin) && text.contains(&shown) && text.contains("not followed"),
                    "{text}"
                );
                assert_eq!((error.status(), error.problem()), (status[..3].parse().ok(), None));
            }
            assert!(
                server.requests()[0].contains("Bearer T"),
                "the server that the caller names gets the token"
            );
        }
        assert_eq!(elsewhere.requests(), Vec::<String>::new(), "another address gets no request");
    }

    /// Proves that responses that Dabba does not send are errors with the URL, the status and the content type, whatever
    /// their status.
    #[tokio::test]
    async fn a_response_of_another_program_is_an_error() {
        let html = ("text/html; charset=utf-8", "<html>Welcome</html>");
        for (status, (content_type, body), expected) in [
            ("200 OK", html, "expected an object in JSON"),
            ("200 OK", ("text/html", "{}"), "expected an object in JSON"),
            ("200 OK", ("application/json", "[]"), "expected an object in JSON"),
            ("200 OK", ("application/json", "{"), "expected an object in JSON"),
            ("201 Created", ("application/json", ""), "expected an object in JSON"),
            ("502 Bad Gateway", html, "expected a problem"),
            ("404 Not Found", ("application/json", r#"{"code": "x"}"#), "expected a problem"),
            ("404 Not Found", ("application/problem+json", r#"{"title": "x"}"#), "expected a problem"),
            ("302 Found", html, "expected a problem"),
        ] {
            let server = CannedServer::start(status, &[("content-type", content_type)], body);
            let text = get(&server).await.unwrap_err().to_string();
            let begin = format!(
                "{}/v1/orders responded with status {} and the content type {content_type}, which is no response of Dabba: {expected}",
                server.url(),
                &status[..3],
            );
            assert!(text.starts_with(&begin), "{text}");
        }
        let long = "x".repeat(1_000);
        let server = CannedServer::start("200 OK", &[("content-type", &long)], "{}");
        let text = get(&server).await.unwrap_err().to_string();
        assert!(text.contains(&format!("{}…, ", &long[..MAX_SHOWN])) && text.len() < 600, "{text}");
        let text = get(&CannedServer::start("200 OK", &[], "{}")).await.unwrap_err().to_string();
        assert!(text.contains("status 200 and no content type, "), "{text}");
        let stream = CannedServer::start("200 OK", &[("content-type", html.0)], html.1);
        let error = Client::new(&stream.url()).unwrap().get("/s").open().await.unwrap_err();
        assert!(error.to_string().contains("expected a stream of events"), "{error}");
    }

    /// Proves that a response is read up to the maximum size, and is an error above it, also if its status is an error.
    #[tokio::test]
    async fn a_response_has_a_maximum_size() {
        let typed = [("content-type", "application/json")];
        let largest = format!(r#"{{"text": "{}"}}"#, "x".repeat(MAX_BODY_BYTES - 12));
        assert_eq!(largest.len(), MAX_BODY_BYTES);
        let response = get(&CannedServer::start("200 OK", &typed, &largest)).await.unwrap();
        assert_eq!(response.body["text"].as_str().map(str::len), Some(MAX_BODY_BYTES - 12));
        for status in ["200 OK", "500 Failed"] {
            let server = CannedServer::start(status, &typed, &format!("{largest} "));
            let text = get(&server).await.unwrap_err().to_string();
            assert!(text.contains("/v1/orders responded with status ") && text.contains("32 MiB"), "{text}");
        }
    }

    /// Proves that an object without the members that a caller needs is an error, and so is content where none is
    /// expected.
    #[tokio::test]
    async fn an_object_of_another_program_is_an_error() {
        #[derive(Debug, Deserialize)]
        struct Page {
            #[serde(rename = "orders")]
            _orders: Vec<u32>,
        }
        let typed = [("content-type", "application/json; charset=utf-8")];
        let server = CannedServer::start("200 OK", &typed, r#"{"orders": {}, "id": "1", "version": null}"#);
        let response = get(&server).await.unwrap();
        assert!(response.clone().with_members(&["id", "orders"]).is_ok());
        let errors = [
            (
                response.clone().with_members(&["id", "version"]).unwrap_err(),
                "an object with the member version",
            ),
            (response.list("orders").unwrap_err(), "an object with the list orders"),
            (response.without_content().unwrap_err(), "status 204 without content"),
            (response.clone().read::<Page>().unwrap_err(), "other content ("),
        ];
        for (error, expected) in errors {
            let text = error.to_string();
            assert!(text.contains(&format!("which is no response of Dabba: expected {expected}")), "{text}");
        }
        let nothing = get(&CannedServer::start("204 No Content", &[], "")).await.unwrap();
        nothing.without_content().unwrap();
        assert!(nothing.list("orders").unwrap_err().to_string().contains("status 204 and no content type"));
    }
}
