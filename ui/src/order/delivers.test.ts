import { describe, expect, it } from 'vitest';
import { deliversHere } from './delivers';

describe('delivery on this page', () => {
  it('is offered unless the restaurant does not deliver, or needs the place', () => {
    const zone = { id: 'near', area: { type: 'Circle' as const, radius_metres: 2000 }, fee: 250, minimum_order: 0 };
    expect(deliversHere(undefined)).toBe(true);
    expect(deliversHere({ delivers: true })).toBe(true);
    expect(deliversHere({ delivers: false })).toBe(false);
    expect(deliversHere({ delivers: true, zones: [zone] })).toBe(false);
    const fee = { id: 'far', name: 'Distance', kind: 'distance' as const, receiver: 'platform' as const };
    expect(deliversHere({ delivers: true, fees: [fee] })).toBe(true);
    expect(deliversHere({ delivers: true, fees: [{ ...fee, tiers: [{ from_metres: 3000, amount: 100 }] }] })).toBe(false);
  });
});
