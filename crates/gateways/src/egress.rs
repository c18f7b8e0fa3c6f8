//! The one guarded client for URLs that users enter. It implements the engine's port ([`dabba_engine::Egress`]).
//!
//! A user who enters a URL must not reach what only this machine reaches (server-side request forgery). Four checks
//! together prevent it:
//!
//! | check | when | against |
//! |---|---|---|
//! | [`EgressPolicy`]: scheme, port, host, literal address | when the URL is entered, and at each request | internal services; unusual spellings; rules that changed |
//! | resolver: every address of a name | at each connection | names of internal addresses; names that change their addresses |
//! | no redirect, no proxy | always | connections that nothing checked |
//! | timeouts; limits of body, headers, lookups and kept connections | always | servers that occupy the client |
//!
//! A connection that is used again was checked when it was made.
//!
//! **Rejected**: a check of the resolved addresses before the request, because the client would resolve the name again
//! and could get other addresses; a list of forbidden names, because any name can have any address.

mod addresses;
mod client;
mod failure;
mod kept;
mod lookups;
mod policy;
mod resolver;

pub use client::{
    CONNECT_TIMEOUT, EgressClient, EgressOptions, EgressSetupError, IDLE_TIMEOUT, MAX_BODY_LENGTH,
    MAX_HEADERS, MAX_IDLE_PER_HOST, MAX_KEPT, TOTAL_TIMEOUT,
};
pub use failure::MAX_EXCERPT_LENGTH;
pub use lookups::MAX_LOOKUPS;
pub use policy::{AllowedHost, AllowedHostError, EgressPolicy, PORTS};
pub use resolver::{MAX_ADDRESSES, NameResolver, SystemResolver};
