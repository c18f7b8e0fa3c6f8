//! Commands whose server encrypts the connection.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::Arc,
    thread,
};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};

use super::support::dabba;

/// Starts a server with this certificate that responds to every request with an empty list of tasks. Returns its URL.
fn start(identity: &CertifiedKey<KeyPair>) -> String {
    const RESPONSE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n\
                            content-length: 12\r\n\r\n{\"tasks\":[]}";
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
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            let (mut request, mut part) = (Vec::new(), [0; 1024]);
            while !request.ends_with(b"\r\n\r\n") {
                // A client that does not trust the certificate closes the connection.
                match stream.read(&mut part) {
                    Ok(length) if length > 0 => request.extend_from_slice(&part[..length]),
                    _ => break,
                }
            }
            if request.ends_with(b"\r\n\r\n") {
                let _ = stream.write_all(RESPONSE.as_bytes());
            }
        }
    });
    format!("https://localhost:{port}")
}

/// Proves that a command calls a server through https, and verifies its certificate.
#[test]
fn a_server_with_a_trusted_certificate_is_called() {
    let directory = tempfile::tempdir().unwrap();
    let identity = || generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (trusted, other) = (identity(), identity());
    let file = directory.path().join("authorities.pem");
    fs::write(&file, trusted.cert.pem()).unwrap();
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
