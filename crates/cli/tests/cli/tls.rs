//! TLS of `dabba serve`: its files, their renewal while the server runs, and commands through such a server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use dabba_sim::{Authorities, Client};
use dabba_testkit::{TlsIdentity, eventually, eventually_blocking};
use tempfile::TempDir;

use super::support::{Server, block_on, dabba, failure, stdout};

/// A directory with the files of a certificate.
pub(crate) struct TlsFiles {
    directory: TempDir,
}

impl TlsFiles {
    /// Writes the files of an identity.
    pub(crate) fn new(identity: &TlsIdentity) -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap() };
        files.renew(identity);
        files
    }

    fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    /// Replaces both files.
    fn renew(&self, identity: &TlsIdentity) {
        fs::write(self.certificate(), identity.certificate_pem()).unwrap();
        fs::write(self.key(), identity.key_pem()).unwrap();
    }

    /// Returns the arguments of a server.
    pub(crate) fn arguments(&self) -> [String; 4] {
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        [
            "--tls-certificate-file".to_owned(),
            path(self.certificate()),
            "--tls-key-file".to_owned(),
            path(self.key()),
        ]
    }
}

/// Returns a client of the server that trusts only this identity, with the token of this role.
fn client(server: &Server, identity: &TlsIdentity, role: &str) -> Client {
    let authorities = Authorities::from_pem(&identity.certificate_pem()).unwrap();
    let client = Client::with_authorities(&server.announced_text("/address"), &authorities).unwrap();
    client.with_token(&server.announced_text(&format!("/tokens/{role}")))
}

fn start(data: &Path, log: &Path, files: &TlsFiles) -> Server {
    let arguments = files.arguments();
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.extend(["--admin-listen", "127.0.0.1:0"]);
    Server::start_logging(data, log, &arguments)
}

async fn expiry(server: &Server) -> f64 {
    let url = format!("{}/metrics", server.announced_text("/admin_address"));
    let text = dabba_testkit::http_client().get(url).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with("dabba_tls_certificate_expiry_seconds")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn logged(log: &Path, text: &str) {
    eventually_blocking(text, || {
        let lines = fs::read_to_string(log).unwrap();
        if lines.contains(text) { Ok(()) } else { Err(lines) }
    });
}

/// Proves that a server with TLS takes orders over HTTPS, that a command and `dabba demo --live` reach it with the authority's file
/// and ask for that file without it, and that a renewed certificate is used without a restart, after files that do not belong
/// together were refused.
#[test]
fn a_certificate_is_renewed_while_the_server_runs() {
    let [first, second] = [2040, 2041].map(|year| TlsIdentity::until("127.0.0.1", year, 1, 1));
    let files = TlsFiles::new(&first);
    let (data, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = logs.path().join("log");
    let server = start(data.path(), &log, &files);
    let address = server.announced_text("/address");
    assert!(address.starts_with("https://127.0.0.1:"), "{address}");
    assert!(server.announced_text("/admin_address").starts_with("http://"), "operators use plain HTTP");
    block_on(async {
        let order = server.announcement["order"].clone();
        let call = client(&server, &first, "customer").post(&server.orders_path()).idempotency_key("1");
        assert_eq!(call.json(&order).send().await.unwrap().status, 201);
        let untrusting = Client::new(&address).unwrap().get("/healthz").send().await.unwrap_err().to_string();
        assert!(untrusting.contains("no response from"), "{untrusting}");
        assert!((expiry(&server).await - 2_208_988_800.0).abs() < 1.0);
    });
    let remote = ["tasks", "--server", &address];
    let with_token = |more: &[&str]| {
        let mut command = dabba(data.path(), &[&remote[..], more].concat());
        command.env("DABBA_TOKEN", server.announced_text("/tokens/admin"));
        command.output().unwrap()
    };
    let output = with_token(&["--ca-file", files.certificate().to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let output = with_token(&[]);
    let refused = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && refused.contains("certificate"), "{refused}");
    assert!(refused.contains("does not know the authority") && refused.contains("--ca-file"), "{refused}");

    let live = ["demo", "--live", "--for", "0.05", "--data", data.path().to_str().unwrap()];
    let refused = failure(data.path(), &live);
    assert!(refused.contains("certificate") && refused.contains("--ca-file"), "{refused}");
    assert!(!refused.contains("no demo server found"), "{refused}");
    let certificate = files.certificate();
    let live = [&live[..], &["--ca-file", certificate.to_str().unwrap()]].concat();
    assert!(stdout(data.path(), &live).contains("The evening took"));

    // A renewal that is interrupted between the two files.
    fs::write(files.certificate(), second.certificate_pem()).unwrap();
    logged(&log, "the TLS certificate is not replaced");
    block_on(async {
        assert_eq!(client(&server, &first, "admin").get("/healthz").send().await.unwrap().status, 200);
    });
    fs::write(files.key(), second.key_pem()).unwrap();
    block_on(async {
        let renewed = client(&server, &second, "admin");
        eventually("the server has the new certificate", async || {
            renewed.get("/healthz").send().await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        assert!((expiry(&server).await - 2_240_611_200.0).abs() < 1.0);
        client(&server, &first, "admin").get("/healthz").send().await.unwrap_err();
    });
    let lines = fs::read_to_string(&log).unwrap();
    assert!(!lines.contains("PRIVATE KEY"), "{lines}");
    server.stop();
}

/// Proves that a certificate that expires soon, or has expired, is logged, and that the server starts nevertheless.
#[test]
fn an_expiry_is_logged() {
    for (year, text) in [(2020, "the TLS certificate has expired"), (2090, "")] {
        let files = TlsFiles::new(&TlsIdentity::until("127.0.0.1", year, 1, 1));
        let (data, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let log = logs.path().join("log");
        let server = start(data.path(), &log, &files);
        if text.is_empty() {
            server.stop();
            assert!(!fs::read_to_string(&log).unwrap().contains("the TLS certificate"));
        } else {
            logged(&log, text);
        }
    }
}

/// Proves that files that are missing or do not belong together are refused with the settings' names, before the start changes
/// anything.
#[test]
fn files_that_cannot_be_used_are_refused() {
    let (one, other) = (TlsIdentity::new("127.0.0.1"), TlsIdentity::new("127.0.0.1"));
    let files = TlsFiles::new(&one);
    let directory = tempfile::tempdir().unwrap();
    let [certificate_option, certificate, key_option, key] = &files.arguments();
    let other_key = directory.path().join("other.pem");
    fs::write(&other_key, other.key_pem()).unwrap();
    let other_key = other_key.to_str().unwrap();
    let absent = directory.path().join("absent.pem");
    let absent = absent.to_str().unwrap();
    let cases: [(&[&str], &[&str]); 6] = [
        (&[certificate_option, certificate], &["tls_certificate_file needs the setting tls_key_file"]),
        (&[key_option, key], &["tls_key_file needs the setting tls_certificate_file"]),
        (
            &[certificate_option, absent, key_option, key],
            &["tls_certificate_file", "absent.pem", "does not exist"],
        ),
        (
            &[certificate_option, certificate, key_option, absent],
            &["tls_key_file", "absent.pem", "does not exist"],
        ),
        (&[certificate_option, certificate, key_option, other_key], &["does not belong to the certificate"]),
        (&[certificate_option, key, key_option, key], &["contains no certificate"]),
    ];
    for (arguments, texts) in cases {
        let fixed = ["serve", "--demo", "--listen", "127.0.0.1:0", "--data", "data"];
        let refused = failure(directory.path(), &[&fixed[..], arguments].concat());
        for text in texts {
            assert!(refused.contains(text), "{arguments:?}: {refused}");
        }
        assert!(!directory.path().join("data").exists(), "{arguments:?}");
    }
    let wrong = failure(directory.path(), &["tasks", "--ca-file", certificate]);
    assert!(wrong.contains("--ca-file is for a server"), "{wrong}");
}

/// Proves that the file of an authority without a certificate is refused.
#[test]
fn a_ca_file_without_a_certificate_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("ca.pem"), "nothing").unwrap();
    let arguments = ["tasks", "--server", "https://127.0.0.1:1", "--token", "t", "--ca-file", "ca.pem"];
    let refused = failure(directory.path(), &arguments);
    assert!(refused.contains("--ca-file ca.pem contains no certificate"), "{refused}");
}
