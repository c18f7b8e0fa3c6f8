// How the board reaches the server: the address of its stream, and whether the server answers while there is no stream.
import { send } from '../lib/api';
import { settings } from './settings.svelte';

/** Maximum duration of a request that only asks whether the server answers, in milliseconds. */
const TIMEOUT = 5_000;

/** Asks the server something that changes nothing. A proxy answers with 502 to 504 while it does not reach the server. */
export async function answers(): Promise<boolean> {
  const status = await send(new Request('/v1/session'), TIMEOUT).then((response) => response.status, () => 504);
  return status < 502 || status > 504;
}

/** Returns the address of a board's stream, which tells the server the device. */
export function streamAddress(restaurant: string): string {
  const query = new URLSearchParams({ device_id: settings.values.device });
  const name = settings.deviceName;
  if (name !== '') query.set('device', name);
  return `/v1/restaurants/${encodeURIComponent(restaurant)}/board/stream?${query.toString()}`;
}
