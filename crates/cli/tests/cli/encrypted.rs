//! Commands whose server encrypts the connection.

use std::fs;

use dabba_testkit::{CannedServer, TlsIdentity};

use super::support::dabba;

/// Starts a server with this certificate that responds to every request with an empty list of tasks. Returns its URL.
fn start(identity: &TlsIdentity) -> String {
    let json = [("content-type", "application/json")];
    CannedServer::start_encrypted(identity, "200 OK", &json, r#"{"tasks":[]}"#).url()
}

/// Proves that a command calls a server through https, and verifies its certificate.
#[test]
fn a_server_with_a_trusted_certificate_is_called() {
    let directory = tempfile::tempdir().unwrap();
    let (trusted, other) = (TlsIdentity::new("localhost"), TlsIdentity::new("localhost"));
    let file = directory.path().join("authorities.pem");
    fs::write(&file, trusted.certificate_pem()).unwrap();
    let list = |url: &str| {
        let mut command = dabba(directory.path(), &["tasks", "--server", url, "--token", "secret-token"]);
        command.env("SSL_CERT_FILE", &file).env_remove("SSL_CERT_DIR").output().unwrap()
    };
    let output = list(&start(&trusted));
    assert!(output.status.success(), "{output:?}");
    let output = list(&start(&other));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("certificate"), "{text}");
    assert!(!text.contains("secret-token"), "{text}");
}
