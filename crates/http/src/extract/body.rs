//! JSON bodies. A refusal lists every problem of a body, each with a JSON Pointer to its place.

use std::{convert::Infallible, error::Error};

use axum::{
    RequestExt as _,
    body::{Body, Bytes, HttpBody as _},
    extract::{DefaultBodyLimit, FromRequest, Request, rejection::BytesRejection},
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, header},
    response::IntoResponse as _,
};
use dabba_domain::Problems;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use utoipa::ToSchema;

use super::strict::Strict;
use crate::{
    MAX_BODY_BYTES, MAX_MENU_BYTES,
    problem::{Code, Problem, Result},
    schema,
    serve::BodyMemoryFull,
};

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A required body.
#[derive(Clone, Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

/// An optional body.
#[derive(Clone, Debug)]
pub(crate) struct MaybeJsonBody<T>(pub(crate) Option<T>);

impl<S: Send + Sync, T: DeserializeOwned + ToSchema> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        check_media_type(request.headers())?;
        read(&read_bytes(request, state).await?).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + ToSchema> FromRequest<S> for MaybeJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let typed = check_media_type(request.headers());
        let bytes = read_bytes(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        typed?;
        read(&bytes).map(Some).map(Self)
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<()> {
    let refuse = |text: &'static str| Err(Problem::new(Code::UnsupportedMediaType, text));
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let value = values.next().and_then(|value| value.to_str().ok()).filter(|_| values.next().is_none());
    let (essence, parameters) = value.map_or(("", None), |value| match value.split_once(';') {
        Some((essence, parameters)) => (essence.trim(), Some(parameters)),
        None => (value.trim(), None),
    });
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || (essence.len() > "application/+json".len()
            && essence
                .get(.."application/".len())
                .is_some_and(|start| start.eq_ignore_ascii_case("application/"))
            && essence.to_ascii_lowercase().ends_with("+json"));
    if !is_json {
        return refuse("Content-Type must be given once, and must be application/json.");
    }
    if parameters.is_some_and(|parameters| !is_of_utf_8(parameters)) {
        return refuse("The charset in Content-Type must be utf-8 or absent: JSON is UTF-8.");
    }
    let encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.map(HeaderValue::as_bytes).any(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        return refuse("The body must not be compressed: omit Content-Encoding, and send the JSON as it is.");
    }
    Ok(())
}

/// Returns whether the parameters of a media type name no charset other than UTF-8.
fn is_of_utf_8(parameters: &str) -> bool {
    let mut charsets = parameters.split(';').filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    // Some clients write `utf8` by mistake.
    charsets.all(|charset| ["utf-8", "utf8"].iter().any(|name| charset.eq_ignore_ascii_case(name)))
}

pub(crate) async fn read_bytes<S: Send + Sync>(mut request: Request, state: &S) -> Result<Bytes> {
    check_announced(&request)?;
    let is_announced = request.body().size_hint().exact().is_some();
    if !is_announced {
        // The account's budget counted a body of unknown length as this many bytes.
        DefaultBodyLimit::max(MAX_BODY_BYTES).apply(&mut request);
    }
    Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
        let mut causes =
            std::iter::successors(Some(&rejection as &(dyn Error + 'static)), |error| (*error).source());
        if causes.any(<dyn Error>::is::<BodyMemoryFull>) {
            return Problem::new(Code::Overloaded, BodyMemoryFull.to_string());
        }
        match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE if is_announced => too_large(),
            StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
                Code::PayloadTooLarge,
                format!("A body of more than {MAX_BODY_BYTES} bytes must state its Content-Length."),
            ),
            _ => Problem::new(Code::BadRequest, "The body could not be read to its end."),
        }
    })
}

/// Refuses a body whose `Content-Length` exceeds the operation's limit, before the server reads any of the body or sends `100
/// Continue`.
fn check_announced(request: &Request) -> Result<()> {
    let announced = request.body().size_hint().lower();
    if is_above_limit(announced, request.extensions()) { Err(too_large()) } else { Ok(()) }
}

/// Returns whether an operation refuses a body of this length. `extensions` are those of a request to the operation.
pub(crate) fn is_above_limit(length: u64, extensions: &Extensions) -> bool {
    // Every operation's limit is at least this.
    if length <= MAX_BODY_BYTES as u64 {
        return false;
    }
    // Axum exposes the limit only through a request: as the maximum length of a body without an announced length.
    let mut probe = Request::new(Body::from_stream(futures::stream::pending::<Result<Bytes, Infallible>>()));
    *probe.extensions_mut() = extensions.clone();
    probe.with_limited_body().body().size_hint().upper().is_some_and(|limit| length > limit)
}

fn too_large() -> Problem {
    let text = format!(
        "The body must have at most {MAX_BODY_BYTES} bytes, the body of a menu at most {MAX_MENU_BYTES}."
    );
    Problem::new(Code::PayloadTooLarge, text)
}

fn read<T: DeserializeOwned + ToSchema>(bytes: &[u8]) -> Result<T> {
    // A parser may ignore a byte-order mark (RFC 8259, section 8.1), and some clients send one.
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    // Finding every problem with its place costs more than reading the body, so the search runs only for a body that cannot be
    // read.
    read_strictly(bytes).or_else(|_| explain(bytes))
}

fn read_strictly<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(Strict(&mut deserializer))?;
    deserializer.end().map(|()| value)
}

/// Returns every problem of a body that cannot be read. Returns the body if the only obstacle is `null` for an optional member,
/// which means the same as omitting the member.
fn explain<T: DeserializeOwned + ToSchema>(bytes: &[u8]) -> Result<T> {
    let document = schema::parse(bytes)
        .map_err(|error| Problem::new(Code::MalformedJson, format!("The body is not JSON: {error}.")))?;
    let name = T::name();
    let problems = schema::problems_of_document(&name, document);
    problems.into_result().map_err(|problems| Problem::invalid(&problems))?;
    serde_path_to_error::deserialize(Strict(schema::without_nulls(&name, document)))
        .map_err(|error| Problem::invalid(&Problems::one(pointer(error.path()), error.inner().to_string())))
}

/// Returns the path as a JSON Pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } | Segment::Enum { variant: key } => schema::below(&pointer, key),
        Segment::Unknown => pointer,
    })
}
