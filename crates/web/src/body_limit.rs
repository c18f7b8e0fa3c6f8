//! Limits of the sizes of request bodies.

use std::convert::Infallible;

use axum::{
    RequestExt as _,
    body::{Body, Bytes, HttpBody as _},
    extract::Request,
    http::Extensions,
};

/// Maximum size of a request body, in bytes, of operations that do not allow more.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

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
