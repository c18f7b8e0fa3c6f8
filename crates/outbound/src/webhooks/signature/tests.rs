use dabba_engine::SeededRandom;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use standardwebhooks::Webhook;

use super::*;

/// The vector of the tests of the libraries of Standard Webhooks.
const VECTOR_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const VECTOR_ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const VECTOR_SECOND: i64 = 1_614_265_330;
const VECTOR_BODY: &[u8] = br#"{"test": 2432232314}"#;
const VECTOR_SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn secret(seed: u64) -> WebhookSecret {
    WebhookSecret::generate(&SeededRandom::new(seed))
}

/// Returns the current second: the independent verifier reads the machine's clock.
fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the independent verifier reads the machine's clock")]
    Timestamp::now()
}

fn map(headers: [(&'static str, String); 3]) -> HeaderMap {
    headers
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap()))
        .collect()
}

/// Proves the scheme with the known signature of the vector.
#[test]
fn the_known_vector_has_its_signature() {
    let secret = WebhookSecret::parse(VECTOR_SECRET).unwrap();
    let headers = signed_headers(&[secret], VECTOR_ID, second(VECTOR_SECOND), VECTOR_BODY).unwrap();
    assert_eq!(
        headers,
        [
            ("webhook-id", VECTOR_ID.to_owned()),
            ("webhook-timestamp", "1614265330".to_owned()),
            ("webhook-signature", VECTOR_SIGNATURE.to_owned()),
        ]
    );
}

/// Proves that a receiver with the old secret and one with the new secret both accept a webhook while the secrets
/// overlap, and that other receivers do not.
#[test]
fn each_overlapping_secret_verifies() {
    let (new, old, other) = (secret(1), secret(2), secret(3));
    let headers = signed_headers(&[new.clone(), old.clone()], "id-1", now(), b"{}").unwrap();
    assert_eq!(headers[2].1.split(' ').count(), 2);
    let headers = map(headers);
    let verify = |secret: &WebhookSecret| Webhook::new(&secret.reveal()).unwrap().verify(b"{}", &headers);
    assert!(verify(&new).is_ok() && verify(&old).is_ok());
    assert!(verify(&other).is_err());
}

/// Proves that a change of the id, of the time or of the body invalidates the signature.
#[test]
fn id_time_and_body_are_signed() {
    let secret = secret(1);
    let verifier = Webhook::new(&secret.reveal()).unwrap();
    let at = now();
    let headers = map(signed_headers(&[secret], "id-1", at, b"{}").unwrap());
    verifier.verify(b"{}", &headers).unwrap();
    assert!(verifier.verify(b"{} ", &headers).is_err());
    let later = (at.as_second() + 1).to_string();
    for (name, value) in [(ID_HEADER, "id-2"), (TIMESTAMP_HEADER, later.as_str())] {
        let mut changed = headers.clone();
        changed.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        assert!(verifier.verify(b"{}", &changed).is_err(), "{name}");
    }
}

/// Proves the limits of ids and of the number of secrets.
#[test]
fn a_wrong_id_and_a_wrong_number_of_secrets_are_refused() {
    let sign = |count: u64, id: &str| {
        let secrets: Vec<_> = (0..count).map(secret).collect();
        signed_headers(&secrets, id, second(1), b"").map(|_| ())
    };
    let longest = "x".repeat(MAX_MESSAGE_ID_LENGTH);
    assert_eq!((sign(1, &longest), sign(4, "0190-17")), (Ok(()), Ok(())));
    for id in ["", "a.b", "a b", "a\r\nx", "é", &format!("{longest}x")] {
        assert_eq!(sign(1, id), Err(SigningError::MessageId), "{id}");
    }
    for count in [0, 5] {
        assert_eq!(sign(count, "id"), Err(SigningError::Secrets), "{count}");
    }
}

/// Proves the accepted texts of secrets, and that no output repeats one.
#[test]
fn a_secret_is_base64_of_24_to_64_bytes() {
    let text = |length: usize| format!("whsec_{}", STANDARD.encode(vec![7; length]));
    for length in [24, 32, 63, 64] {
        assert_eq!(WebhookSecret::parse(&text(length)).unwrap().reveal(), text(length));
    }
    for (text, error) in [
        (text(23), WebhookSecretError::Length),
        (text(65), WebhookSecretError::Length),
        (text(66), WebhookSecretError::Length),
        (text(1_000_000), WebhookSecretError::Length),
        ("whsec_".to_owned(), WebhookSecretError::Length),
        (text(32)["whsec_".len()..].to_owned(), WebhookSecretError::Prefix),
        (text(32).replace('=', ""), WebhookSecretError::Encoding),
        (text(32).replace("BwcH", "Bw_H"), WebhookSecretError::Encoding),
        (text(32).replace("whsec_", "whsec_ "), WebhookSecretError::Encoding),
    ] {
        let found = WebhookSecret::parse(&text).unwrap_err();
        assert_eq!(found, error, "{text}");
        assert!(!found.to_string().contains("Bw"), "{found}");
    }
    assert_eq!(format!("{:?}", secret(1)), "WebhookSecret(…)");
}

/// Proves that generated secrets have full length and differ.
#[test]
fn generated_secrets_differ() {
    let random = SeededRandom::new(1);
    let (one, two) = (WebhookSecret::generate(&random), WebhookSecret::generate(&random));
    assert_eq!((one.as_bytes().len(), two.as_bytes().len()), (32, 32));
    assert_ne!(one, two);
    assert_eq!(WebhookSecret::parse(&one.reveal()), Ok(one));
}

proptest! {
    /// Proves that the independent library computes the same signature for any message.
    #[test]
    fn the_independent_library_agrees(
        bytes in proptest::collection::vec(any::<u8>(), 24..=64),
        id in "[!-\\-/-~]{1,40}",
        at in 0_i64..4_000_000_000,
        body in ".{0,200}",
    ) {
        let secret = WebhookSecret::from_bytes(&bytes).unwrap();
        let expected = Webhook::new(&secret.reveal()).unwrap().sign(&id, at, body.as_bytes()).unwrap();
        let headers = signed_headers(&[secret], &id, second(at), body.as_bytes()).unwrap();
        prop_assert_eq!(&headers[2].1, &expected);
    }
}
