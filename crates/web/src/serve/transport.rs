//! Whether a request arrived encrypted.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{Extensions, request::Parts},
};

/// Protection of the connection between this server and its peer, which is the client or a proxy. Code that must
/// know whether the *client* uses https also considers what a trusted proxy reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// The connection is not encrypted.
    #[default]
    Plain,
    /// The connection is encrypted by TLS, which this server terminates.
    Tls,
}

impl Transport {
    /// Returns the transport of a request. Without [`super::serve`], no request is encrypted.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or_default()
    }

    /// Returns whether the connection is encrypted.
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Transport {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}
