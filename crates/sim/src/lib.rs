//! Driving a running server over HTTP, and auditing what it has stored.
//!
//! | module | what it is for |
//! |---|---|
//! | [`mod@audit`] | reads a store and reports what breaks an invariant: tests, `dabba audit` |
//! | [`client`] | one request at a time, answers and problems as values: walks and tests |
//! | [`mod@simulation`] | a seeded simulation of orders in virtual time, in which everything fails: tests, `dabba simulate` |
//! | [`workload`] | many orders at once over kept connections: measurements |
//!
//! The workload does not use the client: it shares its cores with the server that it measures, so it
//! speaks HTTP/1.1 with as little work as it can.

pub mod audit;
pub mod client;
pub mod simulation;
pub mod workload;

pub use audit::{AuditError, AuditOptions, GatewayLedger, GatewaySummary, audit};
pub use client::{Answer, Client, ClientError, ProblemAnswer};
pub use simulation::{Plant, SimulationError, SimulationOptions, SimulationReport, simulate};
pub use workload::{Load, LoadError, Mix, Report, Scene, run_load};
