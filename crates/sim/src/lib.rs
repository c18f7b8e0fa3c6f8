//! Driving a running server over HTTP: a small client, and workloads that measure.
//!
//! | module | what it is for |
//! |---|---|
//! | [`client`] | one request at a time, answers and problems as values: walks and tests |
//! | [`workload`] | many orders at once over kept connections: measurements |
//!
//! The workload does not use the client: it shares its cores with the server that it measures, so it
//! speaks HTTP/1.1 with as little work as it can.

pub mod client;
pub mod workload;

pub use client::{Answer, Client, ClientError, ProblemAnswer};
pub use workload::{LoadError, PlaceLoad, Report, place_orders};
