// What the webhook endpoints did with the events of one order.
import { api, ApiError, unwrap, type Body } from '../../lib/api';

type Endpoint = Body<'WebhookEndpoint'>;

export interface Delivery {
  endpoint: Endpoint;
  attempts: Body<'WebhookAttempt'>[];
  failures: Body<'WebhookFailure'>[];
}

const PAGE = 100;

/** Reads the endpoints that receive the events of a restaurant: its own, and those of the platform. */
async function endpointsOf(restaurant: string): Promise<Endpoint[]> {
  const query = { limit: PAGE };
  const [own, all] = await Promise.all([
    unwrap(api.GET('/v1/webhook-endpoints', { params: { query: { ...query, restaurant_id: restaurant } } })),
    unwrap(api.GET('/v1/webhook-endpoints', { params: { query } })),
  ]);
  return [...all.endpoints.filter((endpoint) => endpoint.restaurant_id === undefined), ...own.endpoints];
}

async function deliveryOf(endpoint: Endpoint, order: string): Promise<Delivery> {
  const path = { endpoint_id: endpoint.id };
  const query = { limit: PAGE };
  const [attempts, failures] = await Promise.all([
    unwrap(api.GET('/v1/webhook-endpoints/{endpoint_id}/attempts', { params: { path, query } })),
    unwrap(api.GET('/v1/webhook-endpoints/{endpoint_id}/failures', { params: { path, query } })),
  ]);
  return {
    endpoint,
    attempts: attempts.attempts.filter((attempt) => attempt.order_id === order),
    failures: failures.failures.filter((failure) => failure.order_id === order),
  };
}

/** Returns what each endpoint did; `undefined` if the server has no webhooks. */
export async function deliveriesOf(order: { id: string; restaurant_id: string }): Promise<Delivery[] | undefined> {
  try {
    const endpoints = await endpointsOf(order.restaurant_id);
    return await Promise.all(endpoints.map((endpoint) => deliveryOf(endpoint, order.id)));
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}
