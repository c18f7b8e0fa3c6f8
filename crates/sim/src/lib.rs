//! Clients that drive a running server over HTTP, a simulation, and an auditor of stored data.
//!
//! | module | purpose |
//! |---|---|
//! | [`mod@audit`] | reads a store and reports violations of invariants; used by tests and `dabba audit` |
//! | [`client`] | sends single requests and returns responses and problems as values; used by walks and tests |
//! | [`mod@simulation`] | simulates orders in virtual time, with a seed and injected failures; used by tests and `dabba simulate` |
//! | [`workload`] | generates load over many persistent connections; used by benchmarks |
//!
//! The workload does not use the client: it shares the processor cores with the server that it measures, so
//! it implements HTTP/1.1 with as little work as possible.

pub mod audit;
pub mod client;
pub mod events;
pub mod simulation;
pub mod workload;

pub use audit::{AuditError, AuditOptions, GatewayLedger, GatewaySummary, audit};
pub use client::{
    Authorities, Call, Client, ClientError, ClientResponse, ForeignResponse, OpenResponse, ProblemResponse,
    printable,
};
pub use events::{MessageError, MessageParser, StreamMessage};
pub use simulation::{Mark, Plant, SHARDS, SimulationError, SimulationOptions, SimulationReport, simulate};
pub use workload::{Dataset, Load, LoadError, LoadReport, Mix, run_load};
