// What the views know of orders that others refer to: code, restaurant and currency, each read once.
import { api, unwrap, type Order } from '../lib/api';
import { Lookup } from './lookup.svelte';

export const orders = new Lookup<Order>((id) =>
  unwrap(api.GET('/v1/orders/{order_id}', { params: { path: { order_id: id } } })),
);
