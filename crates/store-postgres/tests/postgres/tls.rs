//! Encrypted connections.

use dabba_pg_cluster::ClusterOptions;
use dabba_store::Store as _;
use dabba_store_postgres::{Ownership, PostgresOptions, PostgresStore};

use crate::common::{own_cluster, randomness};

async fn try_open(url: &str) -> Result<PostgresStore, dabba_store::StoreError> {
    PostgresStore::open(url, &Ownership::sole(), &PostgresOptions::default(), randomness()).await
}

/// `require` encrypts and accepts any server. `verify-full` requires a certificate of the given authority and the
/// server's own name; if the authority is unknown, the error names the parameter that makes it known.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_encrypted_and_verified_as_the_url_says() {
    let server = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let options = ClusterOptions::default()
        .with_tcp()
        .with_file("server.crt", server.cert.pem())
        .with_file("server.key", server.signing_key.serialize_pem())
        .with_setting("ssl", "on");
    let (cluster, plain) = own_cluster(&options);
    let authority = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(authority.path(), server.cert.pem()).unwrap();
    let by_address = |parameters: &str| plain.replace("sslmode=disable", parameters);
    let by_name = |parameters: &str| by_address(parameters).replace("127.0.0.1", "localhost");
    let verified = format!("sslmode=verify-full&sslrootcert={}", authority.path().display());

    for url in [by_address("sslmode=require"), by_address("sslmode=prefer"), by_name(&verified)] {
        let store = try_open(&url).await.unwrap();
        store.ping().await.unwrap();
        let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                         WHERE application_name = 'dabba'";
        assert_eq!(cluster.execute("postgres", encrypted).unwrap(), "t", "{url}");
        store.close().await;
    }
    assert!(try_open(&by_address(&verified)).await.is_err());
    // With one address only, no other failure hides that of the certificate.
    let unverified = format!("{}&hostaddr=127.0.0.1", by_name("sslmode=verify-full"));
    let Err(unknown) = try_open(&unverified).await else { panic!("{unverified} was accepted") };
    assert!(unknown.to_string().contains("sslrootcert"), "{unknown}");
}
