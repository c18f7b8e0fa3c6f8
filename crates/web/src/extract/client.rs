//! The client's address.

use std::{convert::Infallible, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{ClientAddress, Face, address};

impl<F: Face> FromRequestParts<Arc<F>> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, face: &Arc<F>) -> Result<Self, Infallible> {
        let proxies = &face.web().config().trusted_proxies;
        Ok(Self::new(address::client(&parts.extensions, &parts.headers, proxies)))
    }
}
