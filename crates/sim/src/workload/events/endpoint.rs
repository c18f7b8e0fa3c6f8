//! The webhook endpoints of a run.

use dabba_domain::RestaurantId;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::json;

use super::receiver::{Ports, url};
use crate::{Client, ClientError};

/// Maximum number of endpoints of a run.
pub const MAX_ENDPOINTS: usize = 20_000;
/// Number of endpoints to create at the same time.
const SIMULTANEOUS: usize = 8;
/// A type of events that no load causes.
pub const NEVER_CAUSED: &str = "rejected";

/// What an endpoint does with its deliveries, or who owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Of a restaurant; responds at once.
    Restaurant,
    /// Of the platform; responds at once.
    Platform,
    /// Of a restaurant; responds after 30 s, which a sender does not wait for.
    Hanging,
    /// Of a restaurant; refuses connections.
    Dead,
    /// Of a restaurant; no event of the load matches its types.
    Unmatched,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 5] = [Self::Restaurant, Self::Platform, Self::Hanging, Self::Dead, Self::Unmatched];

    /// Returns the name of the class.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restaurant => "restaurant",
            Self::Platform => "platform",
            Self::Hanging => "hanging",
            Self::Dead => "dead",
            Self::Unmatched => "unmatched",
        }
    }

    /// Returns whether every matching event must arrive.
    pub const fn is_healthy(self) -> bool {
        matches!(self, Self::Restaurant | Self::Platform | Self::Unmatched)
    }

    const fn port(self, ports: Ports) -> u16 {
        match self {
            Self::Restaurant | Self::Platform | Self::Unmatched => ports.healthy,
            Self::Hanging => ports.hanging,
            Self::Dead => ports.dead,
        }
    }
}

/// A webhook endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// What the endpoint does.
    pub class: Class,
    /// The owner; `None` for the platform.
    pub restaurant: Option<RestaurantId>,
    /// Short names of the types of events; empty for all.
    pub types: Vec<String>,
}

/// Creates the endpoints, whose numbers are their indexes, and returns their ids. The client is an admin's.
pub async fn create_endpoints(
    admin: &Client,
    endpoints: &[Endpoint],
    ports: Ports,
) -> Result<Vec<String>, ClientError> {
    let created = stream::iter(endpoints.iter().enumerate()).map(|(number, endpoint)| async move {
        let mut body = json!({"url": url(endpoint.class.port(ports), number)});
        if let Some(restaurant) = endpoint.restaurant {
            body["restaurant_id"] = json!(restaurant);
        }
        if !endpoint.types.is_empty() {
            body["types"] = json!(endpoint.types);
        }
        let created = admin.post("/v1/webhook-endpoints").json(&body).send().await?;
        Ok(created.body["id"].as_str().unwrap_or_default().to_owned())
    });
    created.buffered(SIMULTANEOUS).try_collect().await
}
