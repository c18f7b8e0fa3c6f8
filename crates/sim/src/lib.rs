//! Workloads against a running server, shared by tests and measurements.
