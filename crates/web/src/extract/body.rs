//! JSON bodies. A refusal lists every problem of a body, each with a JSON Pointer to its place.

use std::{error::Error, sync::Arc};

use axum::{
    body::{Bytes, HttpBody as _},
    extract::{DefaultBodyLimit, FromRequest, Request, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::IntoResponse as _,
};
use dabba_domain::{Problems, json_pointer};
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::strict::Strict;
use crate::{
    Face, JsonFace, MAX_BODY_BYTES,
    body_limit::is_above_limit,
    code,
    problem::{Problem, Result},
    schema::{self, Schemas},
    seen::Seen,
    serve::BodyMemoryFull,
};

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A required body in JSON. A face with such bodies publishes their schemas.
#[derive(Clone, Debug)]
pub struct JsonBody<T>(pub T);

/// An optional body in JSON.
#[derive(Clone, Debug)]
pub struct MaybeJsonBody<T>(pub Option<T>);

impl<F: JsonFace, T: DeserializeOwned + ToSchema> FromRequest<Arc<F>> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, face: &Arc<F>) -> Result<Self> {
        check_media_type(request.headers())?;
        read(&read_bytes(request, face).await?, face.schemas()).map(Self)
    }
}

impl<F: JsonFace, T: DeserializeOwned + ToSchema> FromRequest<Arc<F>> for MaybeJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, face: &Arc<F>) -> Result<Self> {
        let typed = check_media_type(request.headers());
        let bytes = read_bytes(request, face).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        typed?;
        read(&bytes, face.schemas()).map(Some).map(Self)
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<()> {
    let refuse = |text: &'static str| Err(Problem::new(code::UNSUPPORTED_MEDIA_TYPE, text));
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

/// Reads a body within the operation's limit.
pub async fn read_bytes<F: Face>(mut request: Request, face: &Arc<F>) -> Result<Bytes> {
    check_announced(&request, &**face)?;
    let is_announced = request.body().size_hint().exact().is_some();
    if !is_announced {
        // The account's budget counted a body of unknown length as this many bytes.
        DefaultBodyLimit::max(MAX_BODY_BYTES).apply(&mut request);
    }
    let seen = request.extensions().get::<Seen>().cloned().unwrap_or_default();
    seen.set_reading_body(true);
    let read = Bytes::from_request(request, face).await;
    seen.set_reading_body(false);
    read.map_err(|rejection: BytesRejection| {
        let mut causes =
            std::iter::successors(Some(&rejection as &(dyn Error + 'static)), |error| (*error).source());
        if causes.any(<dyn Error>::is::<BodyMemoryFull>) {
            return Problem::new(code::OVERLOADED, BodyMemoryFull.to_string());
        }
        match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE if is_announced => too_large(&**face),
            StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
                code::PAYLOAD_TOO_LARGE,
                format!("A body of more than {MAX_BODY_BYTES} bytes must state its Content-Length."),
            ),
            _ => Problem::new(code::BAD_REQUEST, "The body could not be read to its end."),
        }
    })
}

/// Refuses a body whose `Content-Length` exceeds the operation's limit, before the server reads any of the body or sends `100
/// Continue`.
fn check_announced(request: &Request, face: &impl Face) -> Result<()> {
    let announced = request.body().size_hint().lower();
    if is_above_limit(announced, request.extensions()) { Err(too_large(face)) } else { Ok(()) }
}

fn too_large(face: &impl Face) -> Problem {
    Problem::new(code::PAYLOAD_TOO_LARGE, face.body_limits())
}

fn read<T: DeserializeOwned + ToSchema>(bytes: &[u8], schemas: &Schemas) -> Result<T> {
    // A parser may ignore a byte-order mark (RFC 8259, section 8.1), and some clients send one.
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    // Finding every problem with its place costs more than reading the body, so the search runs only for a body that cannot be
    // read.
    read_strictly(bytes).or_else(|_| explain(bytes, schemas))
}

fn read_strictly<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(Strict(&mut deserializer))?;
    deserializer.end().map(|()| value)
}

/// Returns every problem of a body that cannot be read. Returns the body if the only obstacle is `null` for an optional member,
/// which means the same as omitting the member.
fn explain<T: DeserializeOwned + ToSchema>(bytes: &[u8], schemas: &Schemas) -> Result<T> {
    let document = schema::parse(bytes)
        .map_err(|error| Problem::new(code::MALFORMED_JSON, format!("The body is not JSON: {error}.")))?;
    let name = T::name();
    let problems = schemas.problems_of_document(&name, document);
    problems.into_result().map_err(|problems| Problem::invalid(&problems))?;
    serde_path_to_error::deserialize(Strict(schemas.without_nulls(&name, document))).map_err(|error| {
        let pointer = json_pointer::of_path(error.path());
        Problem::invalid(&Problems::one(pointer, error.inner().to_string()))
    })
}
