//! Tests of the binary with real child processes, real sockets and real files.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod abuse;
mod accounts;
mod audit;
mod backups;
mod commands;
mod copy;
mod crashes;
mod demo;
mod dependencies;
mod encrypted;
mod exposure;
mod followers;
mod foreign;
mod import;
mod keys;
mod kills;
mod load;
mod login_links;
mod lost_files;
mod metrics;
mod old_databases;
mod pages;
mod payments;
mod placing;
mod postgres;
mod provider;
mod readme;
mod receiver;
mod request_log;
mod sandbox;
mod secrets;
mod senders;
mod serve;
mod settings;
mod split;
mod support;
mod tls;
mod token;
mod upgrades;
mod walking;
mod watch;
mod web_pages;
mod webhooks;
mod work;
