//! Reading what comes in, as the server reads a body in which nothing is wrong.

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

/// The body of a request to place an order.
#[divan::bench(sample_size = CALLS)]
fn order_request(bencher: Bencher<'_, '_>) {
    let json = request_json();
    bencher.counter(BytesCount::of_str(&json)).bench(|| read::<OrderRequest>(black_box(&json)));
}

/// A menu of two hundred items, as it is sent.
#[divan::bench]
fn menu_body(bencher: Bencher<'_, '_>) {
    let json = menu_json();
    bencher
        .counter(BytesCount::of_str(&json))
        .counter(ItemsCount::new(MENU_ITEMS))
        .bench(|| read::<MenuDocument>(black_box(&json)));
}

/// The check of that menu, which makes it one that can be ordered from.
#[divan::bench]
fn menu_check(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(MENU_ITEMS))
        .with_inputs(menu_document)
        .bench_values(|document| document.validate().unwrap());
}
