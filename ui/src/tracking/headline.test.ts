import { describe, expect, it } from 'vitest';
import { exampleOrder } from './example';
import { replaces } from './follow.svelte';
import { headlineOf } from './headline';
import { offsetOf, zoneName, zonesDiffer } from './zone';

const NOON = Date.parse('2026-05-01T10:05:00Z');
const collection = { type: 'collection' } as const;

describe('the headline', () => {
  it.each([
    ['created', {}, 'headline.created', 'next.created'],
    ['confirmed', {}, 'headline.confirmed', 'next.confirmed'],
    ['preparing', {}, 'headline.preparing', 'next.preparing'],
    ['ready_for_pickup', {}, 'headline.ready', 'next.ready'],
    ['ready_for_pickup', { fulfilment: collection }, 'headline.ready_to_collect', 'next.ready_to_collect'],
    ['out_for_delivery', {}, 'headline.out_for_delivery', 'next.out_for_delivery'],
    ['delivered', {}, 'headline.delivered', 'next.delivered'],
    ['delivered', { fulfilment: collection }, 'headline.collected', 'next.delivered'],
    ['refunded', { delivered_at: '2026-05-01T10:04:00Z' }, 'headline.delivered', 'next.delivered'],
    ['refunded', {}, 'ended.cancelled', undefined],
    ['cancelled', { closure: { how: 'rejected' } }, 'ended.rejected', undefined],
    ['cancelled', { closure: { how: 'expired' } }, 'ended.expired', undefined],
    ['cancelled', { closure: { how: 'payment_failed' } }, 'ended.payment_failed', undefined],
    ['at_the_gate', {}, 'headline.unknown', undefined],
  ])('of %s %o is %s', (status, changes, key, next) => {
    expect(headlineOf(exampleOrder({ status, ...changes }), NOON)).toMatchObject({ key, next });
  });

  it('stops promising an answer once the deadline has passed', () => {
    expect(headlineOf(exampleOrder(), Date.parse('2026-05-01T10:09:00Z')).next).toBe('next.confirmed_late');
  });
});

describe('the zone', () => {
  it('is named only where clocks differ', () => {
    expect(zonesDiffer('Europe/London', 'Europe/London', NOON)).toBe(false);
    // Two names, one clock: a note would only confuse.
    expect(zonesDiffer('Europe/Berlin', 'Europe/Paris', NOON)).toBe(false);
    expect(zonesDiffer('Asia/Kolkata', 'Europe/London', NOON)).toBe(true);
    // London and Lisbon differ from UTC in summer only.
    expect(zonesDiffer('Europe/London', 'UTC', NOON)).toBe(true);
    expect(zonesDiffer('Europe/London', 'UTC', Date.parse('2026-01-01T12:00:00Z'))).toBe(false);
  });

  it('survives a zone that the browser does not know', () => {
    expect(offsetOf('Mars/Olympus', NOON)).toBeUndefined();
    expect(zonesDiffer('Mars/Olympus', 'Europe/London', NOON)).toBe(true);
    expect(zoneName('Mars/Olympus', 'en', NOON)).toBe('Mars/Olympus');
    expect(zoneName('Asia/Kolkata', 'en', NOON)).toBe('India Standard Time (Kolkata)');
  });
});

describe('following', () => {
  it('never goes back to an older state', () => {
    const restaurant = { id: 'r', name: 'R', time_zone: 'UTC' };
    const at = (version: number) => ({ order: exampleOrder({ version }), restaurant, now: '2026-05-01T10:00:00Z' });
    expect(replaces(at(2), undefined)).toBe(true);
    expect(replaces(at(3), at(2))).toBe(true);
    // The same version may have other allowed actions, because time passes.
    expect(replaces(at(2), at(2))).toBe(true);
    expect(replaces(at(1), at(2))).toBe(false);
  });
});
