//! Refusal of databases with data, so that the restaurants and orders of a load do not end up among real ones.

use dabba_domain::Role;
use dabba_sim::workload::Issuer as _;
use dabba_store_postgres::admin::Administration;

use super::server::Server;
use crate::{databases::Databases, failure::Failure, settings::Settings};

/// Refuses a PostgreSQL database that contains data. The embedded database of a load test is always new.
pub(super) async fn refuse_database(settings: &Settings) -> Result<(), Failure> {
    let Databases::Postgres(shards) = Databases::from_settings(settings)? else { return Ok(()) };
    for shard in shards.iter() {
        let during = || Failure::during(format!("checking whether {shard} is empty"));
        let database = Administration::new(shard.url.as_str()).map_err(during())?;
        if let Some(table) = database.table_with_rows().await.map_err(during())? {
            return Err(refusal(&format!("{shard} contains data: its table {table} has rows")));
        }
    }
    Ok(())
}

/// Refuses a server that has orders.
pub(super) async fn refuse_server(server: &Server) -> Result<(), Failure> {
    let admin = server.token(server.fresh_account_id(), Role::Admin);
    let client = server.client()?.with_token(&admin);
    let page = client.get("/v1/orders?limit=1").send().await.map_err(Failure::during("listing orders"))?.body;
    let has_orders = page["orders"].as_array().is_none_or(|orders| !orders.is_empty());
    if has_orders || page["incomplete"] == true {
        return Err(refusal("the server has orders, or cannot reach all its shards"));
    }
    Ok(())
}

fn refusal(why: &str) -> Failure {
    Failure::new(format!(
        "{why}. The load would add restaurants and orders permanently: select an empty database, or give --disposable if the \
         data is not needed. Nothing was written"
    ))
}
