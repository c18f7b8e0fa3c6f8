//! Credentials and encryption.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dabba_engine::{EventSink as _, SinkError};
use dabba_gateways::nats::{NatsConfig, NatsSink};
use dabba_testkit::{NatsServer, TlsIdentity};
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::feed::events;

/// Rights of Dabba's user, as the guide states them.
const PUBLISHER_RIGHTS: [&str; 4] = [
    "dabba.events.>",
    "$JS.API.STREAM.INFO.DABBA_EVENTS",
    "$JS.API.STREAM.CREATE.DABBA_EVENTS",
    "$JS.API.STREAM.MSG.GET.DABBA_EVENTS",
];

/// Returns a signed token of NATS, as `nsc` writes it.
fn token(issuer: &KeyPair, subject: &KeyPair, name: &str, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = encode(&json!({"typ": "JWT", "alg": "ed25519-nkey"}));
    let body = encode(&json!({
        "jti": name,
        "iat": 1_700_000_000,
        "iss": issuer.public_key(),
        "sub": subject.public_key(),
        "name": name,
        "nats": claims,
    }));
    let signature = issuer.sign(format!("{header}.{body}").as_bytes()).unwrap();
    format!("{header}.{body}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A server that knows its users by their tokens, and the account that issues these tokens.
fn server_with_accounts() -> (NatsServer, KeyPair) {
    let (operator, account, system) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let operator_token = token(&operator, &operator, "operator", &json!({"type": "operator", "version": 2}));
    let unlimited = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let account_claims = json!({"limits": unlimited, "type": "account", "version": 2});
    let account_token = token(&operator, &account, "account", &account_claims);
    // JetStream needs an account for the server itself, which may not use JetStream.
    let without_storage = json!({"limits": {"conn": -1, "subs": -1}, "type": "account", "version": 2});
    let system_token = token(&operator, &system, "system", &without_storage);
    let (account_key, system_key) = (account.public_key(), system.public_key());
    let server = NatsServer::start_with(|_| {
        format!(
            "operator: {operator_token}\nsystem_account: {system_key}\nresolver: MEMORY\n\
             resolver_preload: {{ {account_key}: {account_token}, {system_key}: {system_token} }}"
        )
    });
    (server, account)
}

/// Writes a file with the credentials of a user of this account who may publish to these subjects.
fn write_credentials(directory: &Path, account: &KeyPair, may_publish: &[&str]) -> std::path::PathBuf {
    let user = KeyPair::new_user();
    let claims = json!({
        "pub": {"allow": may_publish}, "sub": {"allow": ["_INBOX.>"]}, "subs": -1, "data": -1, "payload": -1,
        "type": "user", "version": 2,
    });
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        token(account, &user, "user", &claims),
        user.seed().unwrap()
    );
    let file = directory.join(format!("{}.creds", user.public_key()));
    fs::write(&file, text).unwrap();
    file
}

async fn refusal(config: NatsConfig) -> String {
    match NatsSink::new(config).connect().await {
        Err(SinkError::Refused(text)) => text,
        Err(other) => panic!("expected a refusal, found: {other}"),
        Ok(_) => panic!("the connection was accepted"),
    }
}

/// Proves that a user with exactly the rights that the guide states can create the stream, publish and read the place, and that
/// without credentials the server refuses.
#[tokio::test]
async fn a_credentials_file_opens_the_server() {
    let (server, account) = server_with_accounts();
    let directory = tempfile::tempdir().unwrap();
    let mut config = NatsConfig::new(&server.url()).unwrap();
    let text = refusal(config.clone()).await;
    assert!(text.contains("does not accept the credentials"), "{text}");
    config.credentials_file = Some(write_credentials(directory.path(), &account, &PUBLISHER_RIGHTS));
    let sink = NatsSink::new(config);
    sink.connect().await.unwrap().publish(events(2)).await.unwrap();
    assert_eq!(sink.connect().await.unwrap().place(), Some("10"));
}

/// Proves that a missing right is a refusal that names the subject, for the stream and for the events.
#[tokio::test]
async fn a_missing_right_is_named() {
    let (server, account) = server_with_accounts();
    let directory = tempfile::tempdir().unwrap();
    let mut config = NatsConfig::new(&server.url()).unwrap();
    config.credentials_file = Some(write_credentials(directory.path(), &account, &["dabba.events.>"]));
    let text = refusal(config.clone()).await;
    assert!(text.contains("Permissions Violation") && text.contains("STREAM.INFO.DABBA_EVENTS"), "{text}");
    config.credentials_file = Some(write_credentials(directory.path(), &account, &PUBLISHER_RIGHTS[1..]));
    let mut session = NatsSink::new(config).connect().await.unwrap();
    let error = session.publish(events(1)).await.unwrap_err();
    assert!(matches!(&error, SinkError::Refused(text) if text.contains("dabba.events.")), "{error}");
}

/// Proves that an absent credentials file, and a file without credentials, are refused with the file's name and without its content.
#[tokio::test]
async fn a_wrong_credentials_file_is_refused() {
    let (server, _) = server_with_accounts();
    let directory = tempfile::tempdir().unwrap();
    let mut config = NatsConfig::new(&server.url()).unwrap();
    config.credentials_file = Some(directory.path().join("absent.creds"));
    let text = refusal(config.clone()).await;
    assert!(text.contains("absent.creds cannot be used: "), "{text}");
    let file = directory.path().join("wrong.creds");
    fs::write(&file, "a secret that is no seed").unwrap();
    config.credentials_file = Some(file);
    let text = refusal(config).await;
    assert!(text.contains("wrong.creds") && text.contains("JWT") && !text.contains("secret"), "{text}");
}

/// A server with a certificate for `localhost`, and the file with that certificate.
fn server_with_tls() -> (NatsServer, std::path::PathBuf, tempfile::TempDir) {
    let files = tempfile::tempdir().unwrap();
    let issued = TlsIdentity::new("localhost");
    let (certificate, key) = (files.path().join("certificate.pem"), files.path().join("key.pem"));
    fs::write(&certificate, issued.certificate_pem()).unwrap();
    fs::write(&key, issued.key_pem()).unwrap();
    let server = NatsServer::start_with(|_| {
        format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}", certificate.display(), key.display())
    });
    (server, certificate, files)
}

/// Proves that the connection is encrypted and the server's certificate verified with the authorities of the file.
#[tokio::test]
async fn an_encrypted_connection_verifies_the_server() {
    let (server, certificate, _files) = server_with_tls();
    let url = server.url().replace("nats://127.0.0.1", "tls://localhost");
    let mut config = NatsConfig::new(&url).unwrap();
    let text = refusal(config.clone()).await;
    assert!(text.contains("cannot be encrypted"), "{text}");
    config.ca_file = Some(certificate.clone());
    let sink = NatsSink::new(config);
    sink.connect().await.unwrap().publish(events(2)).await.unwrap();
    assert_eq!(sink.connect().await.unwrap().place(), Some("10"));
    // The certificate is for another name.
    let mut config = NatsConfig::new(&server.url()).unwrap();
    config.ca_file = Some(certificate);
    let text = refusal(config).await;
    assert!(text.contains("cannot be encrypted"), "{text}");
}

/// Proves that no connection is made without encryption if the scheme or the setting of the authorities demands it.
#[tokio::test]
async fn encryption_that_is_demanded_is_never_omitted() {
    let server = NatsServer::start();
    let config = NatsConfig::new(&server.url().replace("nats://", "tls://")).unwrap();
    assert!(NatsSink::new(config).connect().await.is_err());
    let (_other, certificate, _files) = server_with_tls();
    let mut config = NatsConfig::new(&server.url()).unwrap();
    config.ca_file = Some(certificate);
    assert!(NatsSink::new(config).connect().await.is_err());
}

/// Proves that a file without a certificate, and an absent file, are refused with the file's name.
#[tokio::test]
async fn a_wrong_authorities_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = NatsConfig::new("tls://localhost:1").unwrap();
    config.ca_file = Some(directory.path().join("absent.pem"));
    assert!(refusal(config.clone()).await.contains("absent.pem cannot be read"));
    let file = directory.path().join("empty.pem");
    fs::write(&file, "").unwrap();
    config.ca_file = Some(file);
    assert!(refusal(config).await.contains("empty.pem contains no certificate"));
}
