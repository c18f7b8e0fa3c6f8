//! Places orders on a server that was started with `dabba serve --demo --json`, and prints how many
//! and how fast.
//!
//! ```sh
//! dabba serve --demo --json --listen 127.0.0.1:0 > server.json &
//! cargo run --release -p dabba-sim --example place_load -- --serve-json server.json
//! ```
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::{error::Error, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::Parser;
use dabba_engine::{Random as _, SystemRandom};
use dabba_sim::{PlaceLoad, place_orders};
use serde_json::Value;

/// Places orders on a local server and prints how many and how fast.
#[derive(Parser)]
struct Arguments {
    /// The file that holds what `dabba serve --demo --json` printed.
    #[arg(long, value_name = "FILE")]
    serve_json: PathBuf,
    /// Connections; several runs, when several are given.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    connections: Vec<usize>,
    /// Orders sent in a second; as many as are answered, when absent.
    #[arg(long)]
    rate: Option<NonZeroU32>,
    /// Pay by card, with this token, instead of in cash.
    #[arg(long)]
    card: Option<String>,
    /// Time for one run.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Most orders in one run.
    #[arg(long, default_value_t = 1_000_000)]
    max_orders: u64,
}

// One thread: the server needs the other cores.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let server: Value = serde_json::from_slice(&std::fs::read(&arguments.serve_json)?)?;
    let text = |pointer: &str| {
        let found = server.pointer(pointer).and_then(Value::as_str);
        found.map(str::to_owned).ok_or_else(|| format!("{pointer} is missing in the file"))
    };
    let address = text("/address")?;
    let address = address.trim_start_matches("http://").parse()?;
    let mut order = server["order"].clone();
    if let Some(token) = &arguments.card {
        order["payment_method"] = "card".into();
        order["payment_token"] = token.as_str().into();
    }
    let body = serde_json::to_vec(&order)?;
    println!("connections  orders/s    p50 ms    p99 ms    max ms  placed  errors");
    for connections in arguments.connections {
        let report = place_orders(PlaceLoad {
            address,
            restaurant_id: text("/restaurant_id")?,
            token: text("/tokens/customer")?,
            body: body.clone().into(),
            connections,
            rate: arguments.rate,
            duration: Duration::from_secs(arguments.seconds),
            max_orders: arguments.max_orders,
            run: format!("load-{:016x}", SystemRandom.next_u64()),
        })
        .await?;
        let milliseconds = |share| report.latency_at(share).as_secs_f64() * 1_000.0;
        println!(
            "{connections:>11} {:>9.0} {:>9.2} {:>9.2} {:>9.2} {:>7} {:>7}",
            report.orders_per_second(),
            milliseconds(0.5),
            milliseconds(0.99),
            milliseconds(1.0),
            report.placed,
            report.error_count(),
        );
        for (kind, count) in &report.errors {
            println!("             {count} × {kind}");
        }
    }
    Ok(())
}
