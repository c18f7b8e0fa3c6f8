//! Lookup of names. The client connects only to addresses that this resolver returned, so the address that was checked
//! is the address that is connected to: a name that changes its addresses between two lookups (DNS rebinding) gains
//! nothing. A literal address in a URL never reaches a resolver; [`EgressPolicy`] checks it at each request.

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::Arc,
};

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{lookups::Lookups, policy::EgressPolicy};

/// Maximum number of addresses of a name that are used.
pub const MAX_ADDRESSES: usize = 16;

/// Port to the resolver of names, which tests replace. The client limits the lookups.
#[async_trait]
pub trait NameResolver: Send + Sync + 'static {
    /// Returns the addresses of a name, unchecked.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemResolver;

#[async_trait]
impl NameResolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let name = name.to_owned();
        let lookup = tokio::task::spawn_blocking(move || {
            Ok((name.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()).collect())
        });
        lookup.await.map_err(io::Error::other)?
    }
}

/// The reason why a lookup returned no usable address.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    /// The lookup failed.
    #[error("the host's name could not be resolved")]
    Failed(#[source] Arc<io::Error>),
    /// The name has no address.
    #[error("the host's name has no address")]
    Empty,
    /// The name has only addresses that are not allowed. The text does not contain them: it would reveal the names of
    /// an internal network to its reader.
    #[error(
        "the host's name leads only to addresses that are not public; an operator can allow the host in webhook_allowed_hosts"
    )]
    Forbidden,
}

/// The resolver of a client. It passes only allowed addresses on.
pub(super) struct GuardedResolver {
    pub(super) lookups: Lookups,
    /// The rules for addresses; `None` for the client of allowed hosts.
    pub(super) policy: Option<Arc<EgressPolicy>>,
}

impl GuardedResolver {
    /// Returns the allowed addresses of a name.
    pub(super) async fn allowed(
        lookups: &Lookups,
        policy: Option<Arc<EgressPolicy>>,
        name: &str,
    ) -> Result<Vec<IpAddr>, LookupError> {
        let mut addresses = lookups.resolve(name).await.map_err(LookupError::Failed)?.to_vec();
        if addresses.is_empty() {
            return Err(LookupError::Empty);
        }
        if let Some(policy) = policy {
            addresses.retain(|address| policy.allows_resolved(name, *address));
        }
        if addresses.is_empty() {
            return Err(LookupError::Forbidden);
        }
        addresses.truncate(MAX_ADDRESSES);
        Ok(addresses)
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookups, policy) = (self.lookups.clone(), self.policy.clone());
        Box::pin(async move {
            let addresses = Self::allowed(&lookups, policy, name.as_str()).await;
            let addresses = addresses.map_err(|error| Box::new(error) as Box<dyn Error + Send + Sync>)?;
            // The client replaces port 0 by that of the URL.
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Vec<IpAddr>);

    #[async_trait]
    impl NameResolver for Fixed {
        async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            Ok(self.0.clone())
        }
    }

    async fn allowed(
        policy: Option<EgressPolicy>,
        name: &str,
        found: &[&str],
    ) -> Result<Vec<String>, String> {
        let found = found.iter().map(|address| address.parse().unwrap()).collect();
        let lookups = Lookups::new(Arc::new(Fixed(found)));
        let allowed = GuardedResolver::allowed(&lookups, policy.map(Arc::new), name).await;
        let allowed = allowed.map_err(|error| error.to_string())?;
        Ok(allowed.iter().map(ToString::to_string).collect())
    }

    /// Proves that only allowed addresses remain, that a name without one is refused without showing its addresses, and
    /// that a demonstration allows this machine for its own name only.
    #[tokio::test]
    async fn only_allowed_addresses_of_a_name_remain() {
        let demo = || Some(EgressPolicy { allow_loopback: true, ..EgressPolicy::default() });
        let strict = || Some(EgressPolicy::default());
        let mixed = ["10.0.0.1", "8.8.8.8", "::1", "2606:4700::1111", "::ffff:8.8.8.8", "127.0.0.1"];
        let public = Ok(vec!["8.8.8.8".to_owned(), "2606:4700::1111".to_owned()]);
        assert_eq!(allowed(strict(), "hooks.example.com", &mixed).await, public);
        assert_eq!(allowed(demo(), "hooks.example.com", &mixed).await, public);
        let local = Ok(vec!["::1".to_owned(), "127.0.0.1".to_owned()]);
        assert_eq!(allowed(demo(), "localhost", &mixed).await, local);
        assert_eq!(allowed(None, "hooks.internal", &["10.0.0.1"]).await, Ok(vec!["10.0.0.1".to_owned()]));

        let refused = Err(LookupError::Forbidden.to_string());
        assert_eq!(allowed(strict(), "hooks.example.com", &["10.0.0.1", "fe80::1"]).await, refused);
        assert_eq!(allowed(demo(), "localhost", &["10.0.0.1", "8.8.8.8"]).await, refused);
        assert_eq!(allowed(strict(), "hooks.example.com", &[]).await, Err(LookupError::Empty.to_string()));
        let many: Vec<String> = (0..100).map(|last| format!("8.8.8.{last}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(allowed(strict(), "hooks.example.com", &many).await.unwrap().len(), MAX_ADDRESSES);
    }
}
