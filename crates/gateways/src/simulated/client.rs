//! The engine's port to a provider behind HTTP.
//!
//! | response | result |
//! |---|---|
//! | 2xx with a valid body | the answer in the body |
//! | no connection, no response, an invalid body | `Unavailable`: the call may have been carried out |
//! | 5xx, 408, 429 | `Unavailable` |
//! | a problem of a kind that is final, such as an amount that is not accepted | a decline, or a refused refund |
//! | any other status | `Refused`, with the detail of the problem |

use std::time::Duration;

use async_trait::async_trait;
use dabba_domain::{
    Currency,
    order::{PaymentReference, PaymentToken, RefundNumber},
};
use dabba_engine::{AmountRules, GatewayAnswer, GatewayError, Payment, PaymentGateway};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;

pub use super::http::AddressError;
use super::{
    NAME, http,
    provider::rules,
    wire::{
        Answer, AnswerBody, AuthorizationRequest, IDEMPOTENCY_KEY_HEADER, PaymentRequest, ProblemBody,
        ProviderRefundRequest, not_authorized, not_refunded,
    },
};

/// Maximum size of a response body, in bytes. A provider's responses have a few hundred bytes.
const MAX_ANSWER_LENGTH: usize = 16 * 1024;
/// Maximum length of a problem's detail in an error, in bytes.
const MAX_DETAIL_LENGTH: usize = 500;

/// The client of a simulated provider over HTTP. Calls have no timeout of their own, so the caller needs one,
/// as the engine has.
#[derive(Clone)]
pub struct SimulatedGateway {
    client: Client,
    authorizations: Url,
    captures: Url,
    voids: Url,
    refunds: Url,
}

impl SimulatedGateway {
    /// Creates a client of the provider at this address, such as `http://127.0.0.1:9090`. The provider needs
    /// no credentials, so the client ignores credentials in the address. `connect_timeout` is the timeout for
    /// connecting.
    pub fn new(base_url: &str, connect_timeout: Duration) -> Result<Self, AddressError> {
        let base = http::address(base_url)?;
        let endpoint = |name: &str| {
            let mut url = base.clone();
            url.set_query(None);
            url.set_fragment(None);
            url.path_segments_mut().map_err(|()| AddressError::NotHttp)?.pop_if_empty().extend(["v1", name]);
            Ok(url)
        };
        Ok(Self {
            client: http::client(connect_timeout)?,
            authorizations: endpoint("authorizations")?,
            captures: endpoint("captures")?,
            voids: endpoint("voids")?,
            refunds: endpoint("refunds")?,
        })
    }

    async fn call(
        &self,
        url: &Url,
        payment: &Payment,
        body: &(impl Serialize + Sync),
        final_refusal: Option<GatewayAnswer>,
    ) -> Result<GatewayAnswer, GatewayError> {
        let request =
            self.client.post(url.clone()).header(IDEMPOTENCY_KEY_HEADER, &payment.key).json(body).build();
        let request = request.map_err(|error| GatewayError::Refused(http::describe(error)))?;
        let response = self.client.execute(request).await.map_err(unavailable)?;
        let status = response.status();
        let body = read(response).await?;
        if status.is_success() {
            return match serde_json::from_slice::<AnswerBody>(&body) {
                Ok(body) => Ok(Answer::from(body).into()),
                Err(_) => Err(GatewayError::Unavailable("its response cannot be parsed".into())),
            };
        }
        let problem = serde_json::from_slice::<ProblemBody>(&body).ok();
        if let (Some(answer), true) = (final_refusal, problem.as_ref().is_some_and(ProblemBody::is_final)) {
            return Ok(answer);
        }
        let text = format!("it responded with {}{}", status.as_u16(), detail(problem.as_ref()));
        let is_transient = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        if status.is_server_error() || is_transient {
            Err(GatewayError::Unavailable(text))
        } else {
            Err(GatewayError::Refused(text))
        }
    }
}

#[async_trait]
impl PaymentGateway for SimulatedGateway {
    fn name(&self) -> &'static str {
        NAME
    }

    fn rules(&self, currency: Currency) -> Option<AmountRules> {
        rules(currency)
    }

    async fn authorize(
        &self,
        payment: &Payment,
        token: &PaymentToken,
    ) -> Result<GatewayAnswer, GatewayError> {
        let Payment { order_id, amount, currency, .. } = *payment;
        let body = AuthorizationRequest { order_id, amount, currency, token: token.clone() };
        self.call(&self.authorizations, payment, &body, Some(not_authorized())).await
    }

    async fn capture(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
    ) -> Result<GatewayAnswer, GatewayError> {
        self.call(&self.captures, payment, &whole(payment, reference), None).await
    }

    async fn void(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
    ) -> Result<GatewayAnswer, GatewayError> {
        self.call(&self.voids, payment, &whole(payment, reference), None).await
    }

    async fn refund(
        &self,
        payment: &Payment,
        reference: &PaymentReference,
        number: RefundNumber,
    ) -> Result<GatewayAnswer, GatewayError> {
        let Payment { order_id, amount, currency, .. } = *payment;
        let body = ProviderRefundRequest { order_id, reference: reference.clone(), number, amount, currency };
        self.call(&self.refunds, payment, &body, Some(not_refunded(number))).await
    }
}

fn whole(payment: &Payment, reference: &PaymentReference) -> PaymentRequest {
    let Payment { order_id, amount, currency, .. } = *payment;
    PaymentRequest { order_id, reference: reference.clone(), amount, currency }
}

/// Returns the body of a response, or an error if the body is too long.
async fn read(mut response: Response) -> Result<Vec<u8>, GatewayError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
        if body.len() + chunk.len() > MAX_ANSWER_LENGTH {
            return Err(GatewayError::Unavailable("its response is too long".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn unavailable(error: reqwest::Error) -> GatewayError {
    GatewayError::Unavailable(http::describe(error))
}

/// Returns the detail of a problem, to be appended to a sentence; empty if there is no problem.
fn detail(problem: Option<&ProblemBody>) -> String {
    let Some(problem) = problem else { return String::new() };
    let mut text = problem.detail.replace(char::is_control, " ");
    text.truncate(text.floor_char_boundary(MAX_DETAIL_LENGTH));
    format!(": {text}")
}
