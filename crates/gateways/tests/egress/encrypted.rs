//! Tests of encrypted connections.

use dabba_engine::EgressFailureKind;
use dabba_gateways::egress::EgressOptions;
use dabba_testkit::{CannedServer, TlsIdentity};

use super::world::{Scripted, allowing, ample, client_with, failure, reply};

const NAME: &str = "hooks.example.com";

fn options(trusted: &TlsIdentity) -> EgressOptions {
    let authority = reqwest::Certificate::from_der(trusted.certificate_der()).unwrap();
    EgressOptions { authorities: vec![authority], ..ample() }
}

/// Proves that the client verifies the certificate against the name in the URL, and not against the address that it
/// connects to.
#[tokio::test]
async fn the_certificate_must_be_trusted_and_have_the_name_of_the_url() {
    let identity = TlsIdentity::new(NAME);
    let port = CannedServer::start_encrypted(&identity, "204 Done", &[], "").port();
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
