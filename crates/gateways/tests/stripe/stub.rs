//! A stub server with Stripe's responses, which records the requests.

use std::{collections::BTreeMap, time::Duration};

use dabba_domain::{
    Amount, Bucket, Currency, Money, OrderId, Timestamp,
    order::{DeclineReason, PaymentReference, PaymentReport, PaymentToken},
};
use dabba_engine::{GatewayAnswer, GatewayError, Payment};
use dabba_gateways::stripe::{StripeConfig, StripeGateway};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers};

/// The secret key. No error may show it, although Stripe's messages may repeat it.
pub(crate) const SECRET_KEY: &str = "sk_test_51NeverShown";

/// The payment token. No error may show it.
pub(crate) const TOKEN: &str = "pm_NeverShown";

pub(crate) const INTENT: &str = "pi_3Mabc";

/// The result of a call, without the texts of errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Report(PaymentReport),
    Pending,
    Unavailable,
    Refused,
}

impl Outcome {
    pub(crate) fn authorized() -> Self {
        Self::Report(PaymentReport::AuthorizedAmount { reference: reference(), money: pounds(1_250) })
    }

    pub(crate) fn captured() -> Self {
        Self::Report(PaymentReport::CapturedAmount { reference: reference(), money: pounds(1_250) })
    }

    pub(crate) fn voided() -> Self {
        Self::Report(PaymentReport::Voided { reference: reference() })
    }

    pub(crate) fn declined(reason: DeclineReason) -> Self {
        Self::Report(PaymentReport::Declined { reason })
    }

    /// Converts the result of a call. Verifies that the error shows no secret.
    pub(crate) fn of(answer: Result<GatewayAnswer, GatewayError>) -> Self {
        let text = format!("{answer:?}");
        assert!(!text.contains("NeverShown"), "{text}");
        match answer {
            Ok(GatewayAnswer::Report(report)) => Self::Report(report),
            Ok(GatewayAnswer::Pending) => Self::Pending,
            Err(GatewayError::Unavailable(_)) => Self::Unavailable,
            Err(GatewayError::Refused(_)) => Self::Refused,
        }
    }
}

pub(crate) fn pounds(minor: i64) -> Money {
    Money { amount: Amount::from_minor(minor).unwrap(), currency: Currency::from_code("GBP").unwrap() }
}

pub(crate) fn reference() -> PaymentReference {
    PaymentReference::new(INTENT).unwrap()
}

pub(crate) fn token() -> PaymentToken {
    PaymentToken::new(TOKEN).unwrap()
}

pub(crate) fn order_id() -> OrderId {
    OrderId::generate(Timestamp::UNIX_EPOCH, Bucket::FIRST, 0)
}

/// Returns a step of a payment of 12.50 pounds.
pub(crate) fn payment(step: &str) -> Payment {
    payment_of(step, 1_250, "GBP")
}

pub(crate) fn payment_of(step: &str, minor: i64, currency: &str) -> Payment {
    let order_id = order_id();
    Payment {
        order_id,
        key: format!("{order_id}-{step}"),
        amount: Amount::from_minor(minor).unwrap(),
        currency: Currency::from_code(currency).unwrap(),
    }
}

/// Returns a payment intent, including some fields that the client does not read.
pub(crate) fn intent(status: &str) -> Value {
    json!({
        "id": INTENT,
        "object": "payment_intent",
        "amount": 1_250,
        "amount_capturable": if status == "requires_capture" { 1_250 } else { 0 },
        "amount_received": if status == "succeeded" { 1_250 } else { 0 },
        "capture_method": "manual",
        "client_secret": format!("{INTENT}_secret_NeverShown"),
        "currency": "gbp",
        "last_payment_error": null,
        "livemode": false,
        "metadata": { "order_id": order_id() },
        "next_action": null,
        "status": status,
    })
}

/// Returns the body of an error. Its message contains secrets that the client must not show.
pub(crate) fn error(members: Value) -> Value {
    let mut error = members;
    if error.get("message").is_none() {
        error["message"] = format!("No such thing: {TOKEN}, {SECRET_KEY}").into();
    }
    json!({ "error": error })
}

pub(crate) fn answer(status: u16, body: Value) -> ResponseTemplate {
    ResponseTemplate::new(status).insert_header("request-id", "req_1").set_body_json(body)
}

/// Returns the stored response to an earlier call.
pub(crate) fn replay(status: u16, body: Value) -> ResponseTemplate {
    answer(status, body).insert_header("idempotent-replayed", "true")
}

pub(crate) struct Stub(pub(crate) MockServer);

impl Stub {
    pub(crate) async fn start() -> Self {
        Self(MockServer::start().await)
    }

    /// Sets the response to calls with this method and path.
    pub(crate) async fn on(self, method: &str, path: &str, answer: ResponseTemplate) -> Self {
        let mock = Mock::given(matchers::method(method)).and(matchers::path(path));
        mock.respond_with(answer).mount(&self.0).await;
        self
    }

    pub(crate) fn gateway(&self) -> StripeGateway {
        gateway(&self.0.uri())
    }

    pub(crate) async fn requests(&self) -> Vec<Request> {
        self.0.received_requests().await.unwrap()
    }

    /// Returns the methods and paths of the requests. `!` marks a request with an idempotency key.
    pub(crate) async fn calls(&self) -> Vec<String> {
        let requests = self.requests().await;
        let call = |it: &Request| {
            let mark = if it.headers.contains_key("idempotency-key") { "!" } else { "" };
            format!("{}{mark} {}", it.method, it.url.path())
        };
        requests.iter().map(call).collect()
    }
}

pub(crate) fn gateway(base_url: &str) -> StripeGateway {
    let connect_timeout = Duration::from_secs(5);
    let config =
        StripeConfig { secret_key: SECRET_KEY.to_owned(), base_url: base_url.to_owned(), connect_timeout };
    StripeGateway::new(config).unwrap()
}

/// Returns the fields of a form.
pub(crate) fn form(request: &Request) -> BTreeMap<String, String> {
    let query = String::from_utf8(request.body.clone()).unwrap();
    let url = reqwest::Url::parse(&format!("http://form.test/?{query}")).unwrap();
    url.query_pairs().into_owned().collect()
}
