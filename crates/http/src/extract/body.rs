//! JSON bodies. Every problem of a body is listed, each with its place as a JSON Pointer.

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
    serve::NoRoom,
};

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A body that has to be there.
#[derive(Clone, Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

/// A body that may be left out.
#[derive(Clone, Debug)]
pub(crate) struct MaybeJsonBody<T>(pub(crate) Option<T>);

impl<S: Send + Sync, T: DeserializeOwned + ToSchema> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        check_media_type(request.headers())?;
        read(&take(request, state).await?).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + ToSchema> FromRequest<S> for MaybeJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let typed = check_media_type(request.headers());
        let bytes = take(request, state).await?;
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
        return refuse("The body must not be compressed: Content-Encoding must be absent.");
    }
    Ok(())
}

/// Whether the parameters of a media type name no other character set than UTF-8.
fn is_of_utf_8(parameters: &str) -> bool {
    let mut charsets = parameters.split(';').filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    // Without the hyphen it is a common slip.
    charsets.all(|charset| ["utf-8", "utf8"].iter().any(|name| charset.eq_ignore_ascii_case(name)))
}

pub(crate) async fn take<S: Send + Sync>(mut request: Request, state: &S) -> Result<Bytes> {
    check_announced(&request)?;
    let is_announced = request.body().size_hint().exact().is_some();
    if !is_announced {
        // It counted as so many bytes when its caller was known.
        DefaultBodyLimit::max(MAX_BODY_BYTES).apply(&mut request);
    }
    Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
        let mut causes =
            std::iter::successors(Some(&rejection as &(dyn Error + 'static)), |error| (*error).source());
        if causes.any(<dyn Error>::is::<NoRoom>) {
            return Problem::new(Code::Overloaded, NoRoom.to_string());
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

/// Refuses a body whose announced length is beyond the operation's limit before any of it is read, or asked for by `100 Continue`.
fn check_announced(request: &Request) -> Result<()> {
    let announced = request.body().size_hint().lower();
    if is_above_limit(announced, request.extensions()) { Err(too_large()) } else { Ok(()) }
}

/// Whether a body of this length is refused by the operation that these are the extensions of a request to.
pub(crate) fn is_above_limit(length: u64, extensions: &Extensions) -> bool {
    // No limit is lower.
    if length <= MAX_BODY_BYTES as u64 {
        return false;
    }
    // Only a request tells its limit, as the greatest length of a body that might be endless.
    let mut probe = Request::new(Body::from_stream(futures::stream::pending::<Result<Bytes, Infallible>>()));
    *probe.extensions_mut() = extensions.clone();
    probe.with_limited_body().body().size_hint().upper().is_some_and(|limit| length > limit)
}

fn too_large() -> Problem {
    let text = format!("The body may have {MAX_BODY_BYTES} bytes, that of a menu {MAX_MENU_BYTES}.");
    Problem::new(Code::PayloadTooLarge, text)
}

fn read<T: DeserializeOwned + ToSchema>(bytes: &[u8]) -> Result<T> {
    // A parser may ignore a byte-order mark (RFC 8259, section 8.1), and some clients send one.
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    // To find every problem, and the place of each, costs more than to read a body. So it is done only for what cannot be
    // read.
    read_strictly(bytes).or_else(|_| explain(bytes))
}

fn read_strictly<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(Strict(&mut deserializer))?;
    deserializer.end().map(|()| value)
}

/// Returns every problem of a body that cannot be read. Where the only obstacle is `null` for an optional member, which
/// means the same as its absence, returns the body.
fn explain<T: DeserializeOwned + ToSchema>(bytes: &[u8]) -> Result<T> {
    let document = schema::parse(bytes)
        .map_err(|error| Problem::new(Code::MalformedJson, format!("The body is not JSON: {error}.")))?;
    let name = T::name();
    let problems = schema::problems_of_document(&name, document);
    problems.into_result().map_err(|problems| Problem::invalid(&problems))?;
    serde_path_to_error::deserialize(Strict(schema::without_nulls(&name, document)))
        .map_err(|error| Problem::invalid(&Problems::one(pointer(error.path()), error.inner().to_string())))
}

/// The path as a JSON Pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } | Segment::Enum { variant: key } => schema::below(&pointer, key),
        Segment::Unknown => pointer,
    })
}
