//! The state that faces share, and what a face states about itself.

use std::{borrow::Cow, sync::Arc};

use axum::http::{Method, request::Parts};
use dabba_domain::Timestamp;
use dabba_engine::{Engine, Error, Principal};

use crate::{
    MAX_BODY_BYTES, Registry, WebConfig,
    limit::Limits,
    metrics::HttpMetrics,
    problem::{Problem, ProblemBody, Result},
    schema::Schemas,
    seen::Seen,
    token::Verifier,
};

/// State that all faces of a server share.
pub struct Web {
    engine: Arc<Engine>,
    config: WebConfig,
    verifier: Verifier,
    limits: Arc<Limits>,
    metrics: HttpMetrics,
}

impl Web {
    /// Returns the state for an engine.
    ///
    /// `metrics` holds the measurements that others have registered; this function adds those of the engine and of requests.
    pub fn new(engine: Arc<Engine>, config: WebConfig, metrics: Registry) -> Arc<Self> {
        Arc::new(Self {
            verifier: Verifier::new(&config.signing_key),
            limits: Arc::new(Limits::new(&engine, &config.rate_limits)),
            metrics: HttpMetrics::new(&engine, metrics),
            engine,
            config,
        })
    }

    /// Returns the engine.
    pub const fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Returns the configuration.
    pub const fn config(&self) -> &WebConfig {
        &self.config
    }

    /// Returns the rate limits.
    pub const fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Returns the measurements.
    pub const fn metrics(&self) -> &HttpMetrics {
        &self.metrics
    }

    /// Returns the verifier of bearer tokens.
    pub(crate) const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Admits a caller whose credentials are verified, whatever their kind: stores the caller for the request log, checks
    /// whether the credentials are revoked, and counts the request in the account's budget.
    ///
    /// # Errors
    ///
    /// If the budget is spent, or if the engine cannot check the revocation.
    pub async fn admit(&self, caller: &Principal, issued_at: Timestamp, parts: &Parts) -> Result<Admission> {
        Seen::store_caller(parts, *caller);
        match self.engine.accounts.admit(caller, issued_at).await {
            Ok(()) => {
                self.limits.check_account(caller, parts)?;
                Ok(Admission::Admitted)
            }
            Err(Error::TokenRevoked) => Ok(Admission::Revoked),
            Err(error) => {
                let problem = Problem::of_error(error);
                Err(problem.unwrap_or_else(|conflict| Problem::internal(conflict.to_string())))
            }
        }
    }
}

/// Result of [`Web::admit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The request goes on.
    Admitted,
    /// The credentials are revoked.
    Revoked,
}

/// A face: routes with a state, an error format and credentials of their own. `Arc<Self>` is the state of the routes, and the
/// extractors of this crate work with every such state.
pub trait Face: Send + Sync + 'static {
    /// Returns the state that this face shares with others.
    fn web(&self) -> &Web;

    /// Returns the operation that issues bearer tokens, such as `POST /tokens`. Problems name it.
    fn token_operation(&self) -> &'static str;

    /// Returns whether the operation of a method and a route may have parameters in its query. The query of other operations must be
    /// empty.
    fn has_query(&self, _method: &Method, _route: &str) -> bool {
        true
    }

    /// Returns the text for a body that is too large: the limits of this face's operations.
    fn body_limits(&self) -> Cow<'static, str> {
        format!("The body must have at most {MAX_BODY_BYTES} bytes.").into()
    }

    /// Returns the body of the response to the request with this id that a problem refuses.
    fn problem_body(&self, problem: &Problem, request_id: &str) -> ProblemBody {
        problem.to_json(request_id)
    }
}

/// A face whose bodies are JSON of published schemas.
pub trait JsonFace: Face {
    /// Returns the schemas. A refused body is checked against them, so that the refusal lists every problem.
    fn schemas(&self) -> &Schemas;
}
