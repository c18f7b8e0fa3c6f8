import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Shop } from './shop.svelte';

const LINE = (id: string) => ({ id, item: id, options: [], note: '', quantity: 1 });
let shop: Shop;

function area() {
  const texts = new Map<string, string>();
  return {
    getItem: (key: string) => texts.get(key) ?? null,
    setItem: (key: string, text: string) => texts.set(key, text),
    removeItem: (key: string) => texts.delete(key),
  };
}

beforeEach(() => {
  vi.stubGlobal('localStorage', area());
  vi.stubGlobal('sessionStorage', area());
  shop = new Shop('restaurant');
});
afterEach(() => shop.quote.stop());

describe('another account', () => {
  it('gets no name that the account before it had suggested', () => {
    shop.suggestName('Asha Rao');
    shop.details.city = 'Leeds';
    shop.forgetEarlier();
    expect(shop.details).toMatchObject({ name: '', city: 'Leeds' });
    // The next name belongs to the next account.
    shop.suggestName('Berta Berg');
    shop.forgetEarlier();
    expect(shop.details.name).toBe('');
  });

  it('gets a name that somebody has entered', () => {
    shop.details.name = 'Berta Berg';
    shop.suggestName('Asha Rao');
    shop.forgetEarlier();
    expect(shop.details.name).toBe('Berta Berg');
  });

  it('gets nothing that was there at a sign-in, or when the session ended', () => {
    shop.details.line1 = '12 Lantern Street';
    shop.refill([LINE('rice')]);
    shop.claim();
    shop.details.city = 'Leeds';
    shop.refill([...shop.cart, LINE('tea')]);
    shop.forgetEarlier();
    expect(shop.details).toMatchObject({ line1: '', city: 'Leeds' });
    expect(shop.cart.map(({ id }) => id)).toEqual(['tea']);
  });

  it('gets no cart that came back for the account before it', () => {
    shop.restore([LINE('rice')]);
    shop.forgetEarlier();
    expect(shop.cart).toEqual([]);
  });
});
