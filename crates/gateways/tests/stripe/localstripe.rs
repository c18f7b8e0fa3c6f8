//! Tests the client against localstripe, an independent implementation of Stripe's API. localstripe supports
//! no idempotency keys and returns no codes with its refusals, so the client detects a repeated call from the
//! payment's state.

use std::{net::TcpListener, process::Stdio, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use dabba_domain::{
    Timestamp,
    order::{DeclineReason, PaymentReference, PaymentReport, PaymentToken, RefundNumber},
};
use dabba_engine::{GatewayAnswer, PaymentGateway as _, ProviderNotice};
use dabba_gateways::stripe::{SIGNATURE_HEADER, StripeGateway, read_webhook};
use serde_json::Value;
use tokio::{
    process::{Child, Command},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{sleep, timeout},
};

use crate::stub::{SECRET_KEY, gateway, order_id, payment, payment_of, pounds};

/// The environment variable that names the executable of localstripe.
const EXECUTABLE: &str = "LOCALSTRIPE";

const WEBHOOK_SECRET: &str = "whsec_local";

/// Timeout for the start of localstripe, and for an event.
const TIMEOUT: Duration = Duration::from_mins(1);

const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// Maximum size of a request that the proxy forwards, in bytes.
const MAX_REQUEST_SIZE: usize = 1024 * 1024;

struct Localstripe {
    url: String,
    http: reqwest::Client,
    /// The process is killed when this value is dropped.
    _process: Child,
}

impl Localstripe {
    async fn start() -> Self {
        let executable = std::env::var(EXECUTABLE).unwrap();
        // The port was free a moment ago, and no other process is likely to use it.
        let port = TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(executable)
            .args(["--from-scratch", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let it =
            Self { url: format!("http://127.0.0.1:{port}"), http: reqwest::Client::new(), _process: process };
        let listens = async {
            while it.http.get(&it.url).send().await.is_err() {
                sleep(PROBE_INTERVAL).await;
            }
        };
        timeout(TIMEOUT, listens).await.unwrap();
        it
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> String {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(SECRET_KEY).form(form);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(SECRET_KEY);
        request.send().await.unwrap().json().await.unwrap()
    }
}

/// Serves on a free port and returns the address.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

/// Forwards a request without the one parameter that localstripe refuses because it does not know it.
async fn without_unknown_parameter(State(url): State<String>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, MAX_REQUEST_SIZE).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap().replace("&error_on_requires_action=true", "");
    let mut headers = head.headers;
    headers.remove("content-length");
    let url = format!("{url}{}", head.uri);
    let answer =
        reqwest::Client::new().request(head.method, url).headers(headers).body(body).send().await.unwrap();
    let status = answer.status();
    let mut response = Response::new(Body::from(answer.bytes().await.unwrap()));
    *response.status_mut() = status;
    response
}

type Event = (String, Bytes);

async fn receive_event(
    State(events): State<UnboundedSender<Event>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let signature = headers[SIGNATURE_HEADER].to_str().unwrap().to_owned();
    events.send((signature, body)).unwrap();
    StatusCode::OK
}

/// Returns the notice of the next event. The reader's clock is set to the event's sending time.
async fn next_report(events: &mut UnboundedReceiver<Event>) -> Option<ProviderNotice> {
    let (signature, body) = timeout(TIMEOUT, events.recv()).await.unwrap().unwrap();
    let (time, _) = signature.strip_prefix("t=").unwrap().split_once(',').unwrap();
    let now = Timestamp::from_second(time.parse().unwrap()).unwrap();
    read_webhook(WEBHOOK_SECRET, &signature, &body, now).unwrap()
}

async fn authorize(gateway: &StripeGateway, token: &str) -> PaymentReport {
    let token = PaymentToken::new(token).unwrap();
    match gateway.authorize(&payment("authorize"), &token).await.unwrap() {
        GatewayAnswer::Report(report) => report,
        GatewayAnswer::Pending => panic!("the authorization must not be pending"),
    }
}

async fn authorized(gateway: &StripeGateway) -> PaymentReference {
    match authorize(gateway, "pm_card_visa").await {
        PaymentReport::AuthorizedAmount { reference, .. } => reference,
        report => panic!("{report:?}"),
    }
}

async fn payment_is_captured_once(gateway: &StripeGateway, reference: &PaymentReference) {
    let captured = GatewayAnswer::Report(PaymentReport::CapturedAmount {
        reference: reference.clone(),
        money: pounds(1_250),
    });
    for _ in 0..2 {
        assert_eq!(gateway.capture(&payment("capture"), reference).await, Ok(captured.clone()));
    }
    assert_eq!(gateway.void(&payment("void"), reference).await, Ok(captured));
}

async fn payment_is_refunded_in_two_parts(
    server: &Localstripe,
    gateway: &StripeGateway,
    reference: &PaymentReference,
) {
    for number in [1, 1, 2, 1, 2].map(|number| RefundNumber::new(number).unwrap()) {
        let half = payment_of(&format!("refund-{number}"), 625, "GBP");
        let made = GatewayAnswer::Report(PaymentReport::Refunded { number });
        assert_eq!(gateway.refund(&half, reference, number).await, Ok(made));
    }
    let refunds = server.get(&format!("/v1/refunds?payment_intent={reference}")).await;
    let amounts: Vec<_> = refunds["data"].as_array().unwrap().iter().map(|it| it["amount"].clone()).collect();
    assert_eq!(amounts, [625, 625]);
}

async fn payment_is_voided_once(gateway: &StripeGateway) {
    let reference = authorized(gateway).await;
    let voided = GatewayAnswer::Report(PaymentReport::Voided { reference: reference.clone() });
    for _ in 0..2 {
        assert_eq!(gateway.void(&payment("void"), &reference).await, Ok(voided.clone()));
    }
}

async fn payment_is_declined(server: &Localstripe, gateway: &StripeGateway) {
    let declined = authorize(gateway, "pm_card_chargeCustomerFail").await;
    assert_eq!(declined, PaymentReport::Declined { reason: DeclineReason::CardDeclined });
    let card = [
        ("type", "card"),
        ("card[number]", "4000002500003155"),
        ("card[exp_month]", "12"),
        ("card[exp_year]", "2040"),
        ("card[cvc]", "123"),
    ];
    let method: Value = serde_json::from_str(&server.post("/v1/payment_methods", &card).await).unwrap();
    let declined = authorize(gateway, method["id"].as_str().unwrap()).await;
    assert_eq!(declined, PaymentReport::Declined { reason: DeclineReason::AuthenticationRequired });
}

#[tokio::test]
#[ignore = "needs localstripe: run scripts/test-stripe"]
async fn money_moves_once_at_another_implementation() {
    let server = Localstripe::start().await;
    let (sender, mut events) = unbounded_channel();
    let endpoint = serve(Router::new().fallback(receive_event).with_state(sender)).await;
    server.post("/_config/webhooks/dabba", &[("url", &endpoint), ("secret", WEBHOOK_SECRET)]).await;
    let proxy = Router::new().fallback(without_unknown_parameter).with_state(server.url.clone());
    let gateway = gateway(&serve(proxy).await);

    let reference = authorized(&gateway).await;
    payment_is_captured_once(&gateway, &reference).await;
    let report = PaymentReport::CapturedAmount { reference: reference.clone(), money: pounds(1_250) };
    let expected = ProviderNotice::Report(order_id(), report);
    while next_report(&mut events).await != Some(expected.clone()) {}

    payment_is_refunded_in_two_parts(&server, &gateway, &reference).await;
    payment_is_voided_once(&gateway).await;
    payment_is_declined(&server, &gateway).await;
}
