//! Tests of encrypted connections.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::Arc,
    thread,
};

use dabba_engine::EgressFailureKind;
use dabba_gateways::egress::EgressOptions;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};

use super::world::{BODY, Scripted, allowing, ample, client_with, failure, reply, response};

const NAME: &str = "hooks.example.com";

/// Starts a server with this certificate. Returns its port.
fn start(identity: &CertifiedKey<KeyPair>) -> u16 {
    let key = PrivateKeyDer::try_from(identity.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream =
                StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream.unwrap());
            let (mut request, mut part) = (Vec::new(), [0; 1024]);
            while !request.ends_with(BODY.as_bytes()) {
                // A client that does not trust the certificate closes the connection.
                match stream.read(&mut part) {
                    Ok(length) if length > 0 => request.extend_from_slice(&part[..length]),
                    _ => break,
                }
            }
            if request.ends_with(BODY.as_bytes()) {
                let _ = stream.write_all(response("204 Done\r\nconnection: close", "").as_bytes());
            }
        }
    });
    port
}

fn options(trusted: &CertifiedKey<KeyPair>) -> EgressOptions {
    let authority = reqwest::Certificate::from_der(trusted.cert.der()).unwrap();
    EgressOptions { authorities: vec![authority], ..ample() }
}

/// Proves that the client verifies the certificate against the name in the URL, and not against the address that it
/// connects to.
#[tokio::test]
async fn the_certificate_must_be_trusted_and_have_the_name_of_the_url() {
    let identity = generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let port = start(&identity);
    let names = || Scripted::new(&[&["127.0.0.1"]]);
    let hosts = [format!("{NAME}:{port}"), format!("other.example.com:{port}"), format!("127.0.0.1:{port}")];
    let trusting = client_with(allowing(&hosts), &options(&identity), names());
    assert_eq!(reply(&trusting, &format!("https://{NAME}:{port}/")).await.status, 204);
    for url in [format!("https://other.example.com:{port}/"), format!("https://127.0.0.1:{port}/")] {
        failure(&trusting, &url, EgressFailureKind::Tls).await;
    }
    let strict = client_with(allowing(&hosts), &ample(), names());
    let found = failure(&strict, &format!("https://{NAME}:{port}/"), EgressFailureKind::Tls).await;
    assert!(found.text.starts_with("the encrypted connection failed: "), "{found:?}");
}

/// Proves the class of a server that speaks no TLS.
#[tokio::test]
async fn a_server_without_tls_is_classified() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 smtp ready\r\n").await.unwrap();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await.unwrap();
    });
    let client = client_with(allowing(&[address.to_string()]), &ample(), Scripted::failing());
    failure(&client, &format!("https://{address}/"), EgressFailureKind::Tls).await;
}
