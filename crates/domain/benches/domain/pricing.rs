//! Pricing, as every quote and every order does it.

use dabba_domain::pricing::price;
use divan::{Bencher, black_box, counter::ItemsCount};

use crate::{
    CALLS,
    common::settings,
    inputs::{menu_document, request},
};

/// A cart of three items with options, from a menu of two hundred. The items counted are the cart's.
#[divan::bench(sample_size = CALLS)]
fn cart(bencher: Bencher<'_, '_>) {
    let (settings, menu, request) = (settings(), menu_document().validate().unwrap(), request());
    let cart = request.cart();
    bencher
        .counter(ItemsCount::new(cart.lines.len()))
        .bench(|| price(black_box(&settings), black_box(&menu), black_box(cart)).unwrap());
}
