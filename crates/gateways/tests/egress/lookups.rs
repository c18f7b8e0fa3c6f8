//! Tests of names that name servers do not answer.

use std::{future::pending, io, net::IpAddr, sync::Arc};

use async_trait::async_trait;
use dabba_gateways::egress::NameResolver;
use tokio::{sync::watch, task::JoinSet};

use super::world::{Server, Then, allowing, ample, client_with, post, reply, response};

/// Number of names that hang.
const HANGING: usize = 100;

/// A resolver that never answers for names that begin with `dead`, and counts them.
#[derive(Default)]
struct Partly(watch::Sender<usize>);

#[async_trait]
impl NameResolver for Partly {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if name.starts_with("dead") {
            self.0.send_modify(|count| *count += 1);
            pending::<()>().await;
        }
        Ok(vec!["127.0.0.1".parse().unwrap()])
    }
}

/// Proves that an endpoint without a connection is reached while the names of many others hang, and that several
/// requests for a name that hangs cause one lookup.
#[tokio::test]
async fn names_that_hang_do_not_affect_others() {
    let server = Server::start(Then::Send(response("200 OK", ""))).await;
    let host = |name: &str| format!("{name}.example.com:{}", server.port());
    let dead: Vec<String> = (0..HANGING).map(|number| host(&format!("dead{number}"))).collect();
    let names = Arc::new(Partly::default());
    let mut hosts = dead.clone();
    hosts.push(host("live"));
    let client = client_with(allowing(&hosts), &ample(), Arc::clone(&names));
    let mut requests = JoinSet::new();
    for host in dead.iter().chain(&dead) {
        let (client, url) = (client.clone(), format!("http://{host}/"));
        requests.spawn(async move { post(&client, &url).await });
    }
    let mut lookups = names.0.subscribe();
    lookups.wait_for(|count| *count > HANGING / 2).await.unwrap();
    assert_eq!(reply(&client, &format!("http://{}/", host("live"))).await.status, 200);
    lookups.wait_for(|count| *count >= HANGING).await.unwrap();
    assert_eq!(*lookups.borrow(), HANGING);
    assert!(requests.try_join_next().is_none(), "the requests still wait");
}
