// What the views know of accounts: their names, each read once.
import { api, unwrap, type Body } from '../lib/api';
import { Lookup } from './lookup.svelte';

export const accounts = new Lookup<Body<'Account'>>((id) =>
  unwrap(api.GET('/v1/accounts/{account_id}', { params: { path: { account_id: id } } })),
);
