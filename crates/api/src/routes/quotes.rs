//! Quotes: the price of a cart.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::request::Parts,
};
use dabba_domain::{RestaurantId, pricing::Cart};
use dabba_web::{
    ClientAddress,
    extract::{InPath, JsonBody},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::paths::RestaurantPath;
use crate::{
    app::App,
    bodies::quotes::QuoteBody,
    problem::{ApiProblem, BadBody, Failures, Missing, Result},
};

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(quote))
}

/// Extractor that counts the quote in the client's budget, or refuses it.
struct QuoteAllowance;

impl FromRequestParts<Arc<App>> for QuoteAllowance {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self> {
        let Ok(client) = ClientAddress::from_request_parts(parts, app).await;
        app.web.limits().check_quote(client, parts)?;
        Ok(Self)
    }
}

/// Prices a cart
///
/// For everyone. A quote neither orders nor reserves anything. If the cart cannot be ordered now, the quote has the
/// price and lists the obstacles. Only a cart that does not match the menu is refused.
#[utoipa::path(
    post, path = "/v1/restaurants/{restaurant_id}/quotes", tag = "orders",
    params(RestaurantPath),
    request_body = Cart,
    responses(
        (status = 200, description = "The price, and the obstacles to ordering.", body = QuoteBody),
        Missing, BadBody, Failures,
    ),
    security(()),
)]
async fn quote(
    State(app): State<Arc<App>>,
    _: QuoteAllowance,
    InPath(restaurant_id): InPath<RestaurantId>,
    JsonBody(cart): JsonBody<Cart>,
) -> Result<Json<QuoteBody>> {
    let quote = app.engine.orders.quote(restaurant_id, (&cart).into(), cart.payment_method).await?;
    Ok(Json(QuoteBody::new(quote)))
}
