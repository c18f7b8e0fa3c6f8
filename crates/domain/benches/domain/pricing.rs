//! Pricing of a cart, as for every quote and every order.

use dabba_domain::pricing::price;
use divan::{Bencher, black_box, counter::ItemsCount};

use crate::{
    CALLS,
    common::settings,
    inputs::{menu_document, request},
};

/// Prices a cart of three items with options, from a menu of two hundred items. The counted items are those of the
/// cart.
#[divan::bench(sample_size = CALLS)]
fn cart(bencher: Bencher<'_, '_>) {
    let (settings, menu, request) = (settings(), menu_document().validate().unwrap(), request());
    let cart = request.cart();
    bencher
        .counter(ItemsCount::new(cart.lines.len()))
        .bench(|| price(black_box(&settings), black_box(&menu), black_box(cart)).unwrap());
}
