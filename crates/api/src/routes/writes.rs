//! The shape of writes: the headers that make a write conditional and exactly once, the response, and the description
//! of both.
//!
//! | header | describes it | reads it |
//! |---|---|---|
//! | `If-Match`, optional | [`AtVersion`] | [`IfMatch`]; with the key: [`ConditionalWrite`] |
//! | `If-Match`, required | the operation | [`IfMatch`], then [`versions_to_replace`] |
//! | `Idempotency-Key`, optional | [`KeyParameter`] | [`MaybeKey`]; with the condition: [`ConditionalWrite`] |
//! | `Idempotency-Key`, required | the operation | `RequiredKey` |
//!
//! [`Shown`], [`Written`] and [`Created`] describe the response. [`Resource`] states what differs between the resources.

use std::{collections::BTreeMap, marker::PhantomData, sync::Arc};

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use dabba_engine::Conditional;
use dabba_web::{
    Problem,
    extract::{EntityTag, IfMatch, MaybeKey, etag},
    headers,
};
use serde::Serialize;
use utoipa::{
    IntoParams, IntoResponses, ToSchema,
    openapi::{
        self, ContentBuilder, HeaderBuilder, Object, Ref, RefOr, Required, ResponseBuilder, Type,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

use crate::{
    app::App,
    bodies::{
        accounts::AccountBody,
        restaurants::RestaurantBody,
        stock::LevelBody,
        webhook_endpoints::{WebhookEndpointBody, WebhookEndpointWithSecretBody},
    },
    code,
    problem::{ApiProblem, Result},
};

/// A resource with versions, by the body that represents it. The texts are those of the description.
pub(super) trait Resource: ToSchema {
    /// The resource, without an article.
    const NAME: &'static str;
    /// Description of the resource's `ETag`.
    const ETAG: &'static str;
    /// Description of an optional `If-Match`.
    const IF_MATCH: &'static str;
}

impl Resource for RestaurantBody<'_> {
    const NAME: &'static str = "restaurant";
    const ETAG: &'static str = "The restaurant's revision.";
    const IF_MATCH: &'static str = "ETags of revisions; the restaurant must be at one of them.";
}

impl Resource for AccountBody {
    const NAME: &'static str = "account";
    const ETAG: &'static str = "The account's version.";
    const IF_MATCH: &'static str = "ETags of versions; the account must be at one of them.";
}

impl Resource for WebhookEndpointBody {
    const NAME: &'static str = "webhook endpoint";
    const ETAG: &'static str = "The webhook endpoint's version.";
    const IF_MATCH: &'static str = "ETags of versions; the webhook endpoint must be at one of them.";
}

impl Resource for WebhookEndpointWithSecretBody {
    const NAME: &'static str = WebhookEndpointBody::NAME;
    const ETAG: &'static str = WebhookEndpointBody::ETAG;
    const IF_MATCH: &'static str = WebhookEndpointBody::IF_MATCH;
}

impl Resource for LevelBody {
    const NAME: &'static str = "item's stock";
    const ETAG: &'static str = "The stock's revision, if the stock is limited.";
    const IF_MATCH: &'static str = "The ETag of the revision at which the stock must be. Unlimited stock has no ETag and \
                                    matches `*` only.";
}

/// Describes an optional `If-Match`.
pub(super) struct AtVersion<R>(PhantomData<R>);

impl<R: Resource> IntoParams for AtVersion<R> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let condition = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(R::IF_MATCH))
            .schema(Some(Object::with_type(Type::String)));
        vec![condition.build()]
    }
}

/// Describes an optional `Idempotency-Key`.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what MaybeKey reads")]
pub(super) struct KeyParameter {
    /// A new key for each intention, the same key for each retry.
    #[param(rename = "Idempotency-Key")]
    key: Option<String>,
}

/// The conditions of a write: `If-Match` and `Idempotency-Key`, both optional.
pub(super) struct ConditionalWrite(pub(super) Conditional);

impl FromRequestParts<Arc<App>> for ConditionalWrite {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self> {
        let condition: IfMatch = IfMatch::from_request_parts(parts, app).await?;
        let MaybeKey(key) = MaybeKey::from_request_parts(parts, app).await?;
        Ok(Self(Conditional { expected: condition.into_versions(), key }))
    }
}

/// Returns the versions of which a replacement's `If-Match` requires one; `None` for any version.
pub(super) fn versions_to_replace<T>(condition: IfMatch<T>) -> Result<Option<Vec<T>>> {
    match condition {
        IfMatch::Absent => Err(Problem::new(
            code::PRECONDITION_REQUIRED,
            "This operation requires If-Match: the ETag of the version to replace, or * for any version.",
        )
        .into()),
        IfMatch::Any => Ok(None),
        IfMatch::OneOf(versions) => Ok(Some(versions)),
    }
}

/// Describes the response with a resource: 200 and its `ETag`.
pub(super) struct Shown<R>(PhantomData<R>);

impl<R: Resource> IntoResponses for Shown<R> {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        response::<R>(StatusCode::OK, &[])
    }
}

/// Describes the response to a write with an `Idempotency-Key`: the changed resource.
pub(super) struct Written<R>(PhantomData<R>);

impl<R: Resource> IntoResponses for Written<R> {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        response::<R>(StatusCode::OK, &[REPLAYED])
    }
}

/// Describes the response to a creation with an `Idempotency-Key`: the new resource.
pub(super) struct Created<R>(PhantomData<R>);

impl<R: Resource> IntoResponses for Created<R> {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let location = format!("Path of the {}.", R::NAME);
        response::<R>(StatusCode::CREATED, &[("Location", &location), REPLAYED])
    }
}

/// The header of a response to a retry, and its description.
const REPLAYED: (&str, &str) = ("Idempotency-Replayed", "`true` for the response to a retry.");

/// Returns the description of a response with a resource, its `ETag` and other headers.
fn response<R: Resource>(
    status: StatusCode,
    other_headers: &[(&str, &str)],
) -> BTreeMap<String, RefOr<openapi::Response>> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(R::name()))).build();
    let description = format!("The {}.", R::NAME);
    let response = ResponseBuilder::new().description(description).content("application/json", content);
    let all = [("ETag", R::ETAG)].into_iter().chain(other_headers.iter().copied());
    let response = all.fold(response, |response, (name, description)| {
        let header = HeaderBuilder::new().schema(Some(Object::with_type(Type::String)));
        response.header(name, header.description(Some(description)).build())
    });
    BTreeMap::from([(status.as_str().to_owned(), RefOr::T(response.build()))])
}

/// Makes the response with a resource at a version.
pub(super) fn tagged(version: impl EntityTag, body: impl Serialize) -> Response {
    ([(header::ETAG, etag(version))], Json(body)).into_response()
}

/// Makes the response to a write that created a resource at this path.
pub(super) fn created(mut response: Response, path: &str) -> Result<Response> {
    let path = HeaderValue::from_str(path).map_err(|error| Problem::internal(error.to_string()))?;
    *response.status_mut() = StatusCode::CREATED;
    response.headers_mut().insert(header::LOCATION, path);
    Ok(response)
}

/// Marks a response if it repeats the response to an earlier request with the same key.
pub(super) fn mark(mut response: Response, replayed: bool) -> Response {
    if replayed {
        response
            .headers_mut()
            .insert(headers::IDEMPOTENCY_REPLAYED.clone(), HeaderValue::from_static("true"));
    }
    response
}
