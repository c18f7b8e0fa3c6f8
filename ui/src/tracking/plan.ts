// The schematic plan: restaurant and destination at their true direction and distance, with a scale, but without streets.
//
// Over the few kilometres of a delivery the earth is flat enough for an equirectangular projection around the middle of
// both points. The distance is the great circle's, so that it is also right for points far apart.
export interface Coordinates {
  lat: number;
  lng: number;
}

export interface Point {
  x: number;
  y: number;
}

export const DIRECTIONS = ['n', 'ne', 'e', 'se', 's', 'sw', 'w', 'nw'] as const;
export type Direction = (typeof DIRECTIONS)[number];

export interface Plan {
  width: number;
  height: number;
  restaurant: Point;
  destination: Point;
  /** Distance in a straight line, in metres. */
  distance: number;
  /** Direction of the destination from the restaurant. */
  direction: Direction;
  /** A round length in metres, and its length on the plan. */
  scale: { metres: number; length: number };
}

const EARTH_RADIUS = 6_371_008.8;
/** Minimum extent of the plan, in metres: points closer than this do not fill it. */
const MINIMUM_EXTENT = 100;
/** Free space around the points, for their symbols and the scale. */
const MARGIN = { x: 44, top: 46, bottom: 52 };
/** Maximum part of the plan's width that the scale takes. */
const SCALE_PART = 0.3;

const radians = (degrees: number) => (degrees * Math.PI) / 180;

/** Difference of two longitudes in degrees, across the date line where that is shorter. */
function longitudeDifference(from: number, to: number): number {
  return ((((to - from + 180) % 360) + 360) % 360) - 180;
}

/** Returns the length of the great circle between two places, in metres. */
export function distanceBetween(from: Coordinates, to: Coordinates): number {
  const lat = radians(to.lat - from.lat) / 2;
  const lng = radians(longitudeDifference(from.lng, to.lng)) / 2;
  const a = Math.sin(lat) ** 2 + Math.cos(radians(from.lat)) * Math.cos(radians(to.lat)) * Math.sin(lng) ** 2;
  return 2 * EARTH_RADIUS * Math.asin(Math.min(1, Math.sqrt(a)));
}

/** Returns the greatest length of 1, 2 or 5 times a power of ten that is at most `maximum` metres. */
export function roundLength(maximum: number): number {
  const power = 10 ** Math.floor(Math.log10(maximum));
  const factor = [5, 2, 1].find((candidate) => candidate * power <= maximum) ?? 1;
  return factor * power;
}

function directionOf(east: number, north: number): Direction {
  const turn = Math.round(Math.atan2(east, north) / (Math.PI / 4));
  return DIRECTIONS[(turn + 8) % 8] ?? 'n';
}

/** Whether two coordinates are numbers on the earth. The API promises it; a plan of anything else would be wrong. */
export function isPlace(place: Coordinates | undefined): place is Coordinates {
  return place !== undefined && Math.abs(place.lat) <= 90 && Math.abs(place.lng) <= 180;
}

/** Returns the plan of a delivery in a drawing of `width` × `height`. North is up. */
export function planOf(restaurant: Coordinates, destination: Coordinates, width = 360, height = 220): Plan {
  const middle = radians((restaurant.lat + destination.lat) / 2);
  const metresPerDegree = (Math.PI / 180) * EARTH_RADIUS;
  const east = longitudeDifference(restaurant.lng, destination.lng) * metresPerDegree * Math.cos(middle);
  const north = (destination.lat - restaurant.lat) * metresPerDegree;

  const extent = Math.max(Math.hypot(east, north), MINIMUM_EXTENT);
  const free = { x: width - 2 * MARGIN.x, y: height - MARGIN.top - MARGIN.bottom };
  const fits = (length: number, room: number) => room / Math.max(length, extent / 4, MINIMUM_EXTENT);
  const scale = Math.min(fits(Math.abs(east), free.x), fits(Math.abs(north), free.y));
  const centre = { x: width / 2, y: MARGIN.top + free.y / 2 };
  const place = (sign: number): Point => ({
    x: centre.x + (sign * east * scale) / 2,
    y: centre.y - (sign * north * scale) / 2,
  });

  const metres = roundLength((width * SCALE_PART) / scale);
  return {
    width,
    height,
    restaurant: place(-1),
    destination: place(1),
    distance: distanceBetween(restaurant, destination),
    direction: directionOf(east, north),
    scale: { metres, length: metres * scale },
  };
}
