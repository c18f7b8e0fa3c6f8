import { describe, expect, it } from 'vitest';
import { distanceBetween, isPlace, planOf, roundLength } from './plan';

const LONDON = { lat: 51.5246, lng: -0.0716 };
const north = (metres: number) => ({ lat: LONDON.lat + metres / 111_195, lng: LONDON.lng });

describe('the distance', () => {
  it('is the great circle', () => {
    // Eiffel Tower to Brandenburg Gate.
    expect(distanceBetween({ lat: 48.8584, lng: 2.2945 }, { lat: 52.5163, lng: 13.3777 }) / 1000).toBeCloseTo(879, 0);
    expect(distanceBetween(LONDON, LONDON)).toBe(0);
    expect(distanceBetween({ lat: 0, lng: 0 }, { lat: 0, lng: 180 }) / 1000).toBeCloseTo(20_015, 0);
  });

  it('goes the short way across the date line', () => {
    expect(distanceBetween({ lat: 0, lng: 179.99 }, { lat: 0, lng: -179.99 })).toBeCloseTo(2224, 0);
  });
});

describe('the plan', () => {
  it('has north up and east on the right', () => {
    const destination = { lat: LONDON.lat + 0.01, lng: LONDON.lng + 0.02 };
    const plan = planOf(LONDON, destination);
    expect(plan.destination.x).toBeGreaterThan(plan.restaurant.x);
    expect(plan.destination.y).toBeLessThan(plan.restaurant.y);
  });

  it.each([
    [{ lat: 1, lng: 0 }, 'n'],
    [{ lat: 1, lng: 1 }, 'ne'],
    [{ lat: 0, lng: 1 }, 'e'],
    [{ lat: -1, lng: 1 }, 'se'],
    [{ lat: -1, lng: 0 }, 's'],
    [{ lat: -1, lng: -1 }, 'sw'],
    [{ lat: 0, lng: -1 }, 'w'],
    [{ lat: 1, lng: -1 }, 'nw'],
  ])('names the direction of %o as %s', (offset, direction) => {
    const destination = { lat: offset.lat / 100, lng: offset.lng / 100 };
    expect(planOf({ lat: 0, lng: 0 }, destination).direction).toBe(direction);
  });

  it('keeps both points inside with room for their symbols, whatever the direction and distance', () => {
    for (const metres of [0, 1, 50, 900, 15_000, 2_000_000]) {
      for (let angle = 0; angle < 360; angle += 15) {
        const radians = (angle * Math.PI) / 180;
        const destination = {
          lat: LONDON.lat + (Math.cos(radians) * metres) / 111_195,
          lng: LONDON.lng + (Math.sin(radians) * metres) / 69_000,
        };
        const plan = planOf(LONDON, destination);
        for (const { x, y } of [plan.restaurant, plan.destination]) {
          expect(x).toBeGreaterThanOrEqual(20);
          expect(x).toBeLessThanOrEqual(plan.width - 20);
          expect(y).toBeGreaterThanOrEqual(36);
          expect(y).toBeLessThanOrEqual(plan.height - 36);
        }
        expect(plan.scale.length).toBeGreaterThan(10);
        expect(plan.scale.length).toBeLessThanOrEqual(plan.width * 0.3 + 0.001);
      }
    }
  });

  it('draws the scale in the proportion of the distance', () => {
    const plan = planOf(LONDON, north(2_000));
    const drawn = plan.restaurant.y - plan.destination.y;
    expect((drawn / plan.scale.length) * plan.scale.metres).toBeCloseTo(2_000, 0);
  });

  it('does not magnify a neighbour to the edge', () => {
    const plan = planOf(LONDON, north(5));
    expect(plan.restaurant.y - plan.destination.y).toBeLessThan(20);
  });

  it('crosses the date line on the short way', () => {
    const plan = planOf({ lat: 0, lng: 179.99 }, { lat: 0, lng: -179.99 });
    expect(plan.direction).toBe('e');
    expect(plan.distance).toBeLessThan(3_000);
  });

  it('has round scales', () => {
    expect([99, 100, 499, 500, 0.7, 2_400].map(roundLength)).toEqual([50, 100, 200, 500, 0.5, 2_000]);
  });
});

describe('a place', () => {
  it('has coordinates on the earth', () => {
    expect(isPlace(LONDON)).toBe(true);
    expect(isPlace(undefined)).toBe(false);
    expect(isPlace({ lat: 91, lng: 0 })).toBe(false);
    expect(isPlace({ lat: Number.NaN, lng: 0 })).toBe(false);
  });
});
