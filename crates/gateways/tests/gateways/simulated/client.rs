//! Tests of the client: its results for each kind of response.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Response, StatusCode, header},
};
use dabba_domain::order::{DeclineReason, PaymentReport, RefundFailureReason};
use dabba_engine::{GatewayAnswer, GatewayError, Payment, PaymentGateway as _};
use dabba_gateways::simulated::{SimulatedGateway, client::AddressError, wire::ProblemBody};
use tokio::net::TcpListener;

use super::world::{
    TOTAL, World, assert_refused, assert_unavailable, number, order, payment, payment_in, serve, token,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

async fn authorize_at(base_url: &str) -> Result<GatewayAnswer, GatewayError> {
    let gateway = SimulatedGateway::new(base_url, CONNECT_TIMEOUT).unwrap();
    gateway.authorize(&payment(order(1), "authorize", TOTAL), &token("tok_succeed")).await
}

/// Returns the client's result if the provider gives this response to every request.
async fn authorize_with_response(status: u16, body: impl Into<Bytes>) -> Result<GatewayAnswer, GatewayError> {
    let body = body.into();
    let app = Router::new().fallback(move || {
        let response = Response::builder()
            .status(StatusCode::from_u16(status).unwrap())
            .header(header::LOCATION, "/elsewhere")
            .body(Body::from(body.clone()));
        async { response.unwrap() }
    });
    authorize_at(&format!("http://{}", serve(app).await)).await
}

#[tokio::test]
async fn the_status_decides_between_unavailable_and_refused() {
    for status in [408, 429, 500, 502, 503, 504] {
        assert_unavailable(&authorize_with_response(status, "").await);
    }
    for status in [302, 400, 401, 403, 404, 405, 409, 413, 415, 422] {
        assert_refused(&authorize_with_response(status, "").await);
    }
}

/// The call may have been carried out, so the client must not report it as refused.
#[tokio::test]
async fn an_invalid_response_is_unavailable() {
    let texts =
        ["", "ok", "{}x", r#"{"report": {"type": "stolen"}}"#, r#"{"report": {"type": "authorized"}}"#];
    for text in texts {
        assert_unavailable(&authorize_with_response(200, text).await);
    }
    assert_unavailable(&authorize_with_response(200, vec![b' '; 1024 * 1024]).await);
    let pending = authorize_with_response(202, r#"{"report": null}"#).await;
    assert_eq!(pending, Ok(GatewayAnswer::Pending));
}

#[tokio::test]
async fn the_error_includes_the_detail_of_a_problem() {
    let problem = |detail: &str| {
        let (r#type, title) = ("urn:x".to_owned(), "A title".to_owned());
        let body = ProblemBody { r#type, title, status: 422, detail: detail.to_owned() };
        serde_json::to_vec(&body).unwrap()
    };
    let answer = authorize_with_response(422, problem("too\nmuch")).await;
    assert_eq!(answer, Err(GatewayError::Refused("it responded with 422: too much".into())));
    let answer = authorize_with_response(500, problem("no luck")).await;
    assert_eq!(answer, Err(GatewayError::Unavailable("it responded with 500: no luck".into())));
    let Err(GatewayError::Refused(text)) = authorize_with_response(422, problem(&"é".repeat(2_000))).await
    else {
        panic!("a response with status 422 must be a refusal")
    };
    assert!(text.len() < 600, "{} bytes", text.len());
}

/// Proves that an amount that the provider never accepts leads to a decline or a refused refund and has no
/// effect, in process and over HTTP.
#[tokio::test]
async fn an_amount_that_is_not_accepted_is_declined() {
    for world in [World::in_process(), World::over_http().await] {
        let payments =
            [("GBP", 29), ("JPY", 29), ("KWD", 299), ("KWD", 1_234), ("XAU", 1_000), ("CLF", 10_000)];
        for (currency, minor) in payments {
            let payment = payment_in(order(1), "authorize", minor, currency);
            let answer = world.gateway.authorize(&payment, &token("tok_succeed")).await;
            let declined = PaymentReport::Declined { reason: DeclineReason::NotAccepted };
            assert_eq!(answer, Ok(GatewayAnswer::Report(declined)), "{minor} {currency}");
        }
        let payment = payment_in(order(1), "authorize", 1_230, "KWD");
        let answer = world.gateway.authorize(&payment, &token("tok_succeed")).await;
        let Ok(GatewayAnswer::Report(PaymentReport::Authorized { reference, .. })) = answer else {
            panic!("{answer:?}")
        };
        let capture = Payment { key: "capture".to_owned(), ..payment };
        world.gateway.capture(&capture, &reference).await.unwrap();
        for (key, minor, is_made) in [("one", 1, false), ("ten", 10, true)] {
            let refund = payment_in(order(1), key, minor, "KWD");
            let number = number(1);
            let answer = world.gateway.refund(&refund, &reference, number).await;
            let reason = RefundFailureReason::NotAccepted;
            let refused = PaymentReport::RefundRefused { number, reason };
            let expected = if is_made { PaymentReport::Refunded { number } } else { refused };
            assert_eq!(answer, Ok(GatewayAnswer::Report(expected)), "{minor}");
        }
        let summary = world.provider.summary(order(1));
        assert_eq!((summary.authorizations, summary.declines, summary.refunded), (1, 0, 10));
    }
}

#[tokio::test]
async fn a_refused_connection_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let answer = authorize_at(&format!("http://user:a-secret@{address}/?key=a-secret")).await;
    assert_unavailable(&answer);
    assert!(!format!("{answer:?}").contains("a-secret"), "{answer:?}");
}

#[tokio::test]
async fn a_base_address_may_have_a_path() {
    let app = Router::new().route(
        "/payments/v1/authorizations",
        axum::routing::post(|headers: header::HeaderMap| async move {
            assert!(!headers.contains_key(header::AUTHORIZATION));
            r#"{"report": null}"#
        }),
    );
    let address = serve(app).await;
    for path in ["payments", "payments/"] {
        let answer = authorize_at(&format!("http://user:a-secret@{address}/{path}")).await;
        assert_eq!(answer, Ok(GatewayAnswer::Pending), "{path}");
    }
}

#[test]
fn only_http_addresses_are_accepted() {
    for text in ["", "127.0.0.1:80", "ftp://127.0.0.1", "mailto:a@b", "http://"] {
        let error = SimulatedGateway::new(text, CONNECT_TIMEOUT).err();
        assert_eq!(error, Some(AddressError::NotHttp), "{text}");
    }
}
