// The way back from an order: its lines are in the cart again.
import { againOrder, forgetAgain, keptAgain } from '../lib/again';
import { api, ApiError, unwrap, type Session } from '../lib/api';
import { cartOf } from './cart';
import type { Shop } from './shop.svelte';

/** Whether the account's order ended because it was not paid. Unknown, and so `false`, without an answer. */
async function isUnpaid(order: string): Promise<boolean> {
  try {
    const { closure } = await unwrap(api.GET('/v1/orders/{order_id}', { params: { path: { order_id: order } } }));
    return closure?.how === 'payment_failed' || (closure?.how === 'expired' && closure.waited_for === 'payment');
  } catch (cause) {
    if (!(cause instanceof ApiError)) throw cause;
    return false;
  }
}

/**
 * Fills an empty cart with the lines of the latest order, once: if the address asks for them (`fragment`), or if the order
 * was not paid, so that "back" in the browser leads to the cart and not to nothing. Returns whether it did.
 */
export async function refill(shop: Shop, fragment: string, session: Session | undefined): Promise<boolean> {
  const again = keptAgain(shop.id);
  if (again === undefined || shop.menu === undefined || shop.count > 0) return false;
  const asked = againOrder(fragment) === again.order;
  const customer = session?.account.role === 'customer';
  if (!asked && !(customer && (await isUnpaid(again.order)))) return false;
  // The customer may have begun another cart meanwhile.
  if (shop.count > 0) return false;
  // The person on this page asked for the lines, or the lines belong to the account that is signed in.
  if (asked) shop.refill(cartOf(again.lines));
  else shop.restore(cartOf(again.lines));
  forgetAgain(shop.id);
  return shop.count > 0;
}
