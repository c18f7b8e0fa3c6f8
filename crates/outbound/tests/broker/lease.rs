//! The lease of the publisher in a store.

use dabba_outbound::broker::{BrokerLease as _, LEASE_TIME, StoreLease};
use dabba_testkit::TestServer;
use jiff::SignedDuration;

/// Proves that one process holds the lease and renews it, that another takes it after a release and after its expiry, and that the
/// process before then knows that it has lost the lease.
#[tokio::test]
async fn one_process_holds_the_lease() {
    let server = TestServer::start().await;
    let first = StoreLease::new(server.engine()).unwrap();
    let second = StoreLease::new(server.engine()).unwrap();
    let third = SignedDuration::try_from(LEASE_TIME / 3).unwrap();
    assert_eq!(first.hold().await, Ok(true));
    for _ in 0..6 {
        server.advance(third);
        assert_eq!(first.hold().await, Ok(true), "the lease is renewed");
        assert_eq!(second.hold().await, Ok(false));
    }
    second.release().await;
    assert_eq!(first.hold().await, Ok(true), "only the holder ends the lease");
    first.release().await;
    assert_eq!(second.hold().await, Ok(true));
    assert_eq!(first.hold().await, Ok(false));
    for _ in 0..4 {
        server.advance(third);
    }
    assert_eq!(first.hold().await, Ok(true), "the lease has expired");
    assert_eq!(second.hold().await, Ok(false));
}
