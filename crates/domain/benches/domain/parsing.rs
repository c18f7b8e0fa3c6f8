//! Parsing of valid input, as the server parses a request body.

use dabba_domain::{menu::MenuDocument, order::OrderRequest};
use divan::{
    Bencher, black_box,
    counter::{BytesCount, ItemsCount},
};
use serde::de::DeserializeOwned;

use crate::{
    CALLS,
    inputs::{MENU_ITEMS, menu_document, menu_json, request_json},
};

fn read<T: DeserializeOwned>(json: &str) -> T {
    serde_json::from_slice(json.as_bytes()).unwrap()
}

/// Parses the body of a request that places an order.
#[divan::bench(sample_size = CALLS)]
fn order_request(bencher: Bencher<'_, '_>) {
    let json = request_json();
    bencher.counter(BytesCount::of_str(&json)).bench(|| read::<OrderRequest>(black_box(&json)));
}

/// Parses a menu of two hundred items.
#[divan::bench]
fn menu_body(bencher: Bencher<'_, '_>) {
    let json = menu_json();
    bencher
        .counter(BytesCount::of_str(&json))
        .counter(ItemsCount::new(MENU_ITEMS))
        .bench(|| read::<MenuDocument>(black_box(&json)));
}

/// Validates that menu.
#[divan::bench]
fn menu_check(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(MENU_ITEMS))
        .with_inputs(menu_document)
        .bench_values(|document| document.validate().unwrap());
}
