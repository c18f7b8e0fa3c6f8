// What the webhook endpoints did with the events of one order.
import { api, ApiError, unwrap, type Body } from '../../lib/api';
import { runAll } from '../bulk';
import { readAll } from '../read-all';

type Endpoint = Body<'WebhookEndpoint'>;

export interface Delivery {
  endpoint: Endpoint;
  attempts: Body<'WebhookAttempt'>[];
  failures: Body<'WebhookFailure'>[];
}

const PAGE = 100;

/** Reads the endpoints that receive the events of a restaurant: its own, and those of the platform. */
async function endpointsOf(restaurant: string): Promise<Endpoint[]> {
  const read = (selected: { restaurant_id?: string }) =>
    readAll(async (page) => {
      const query = { limit: PAGE, ...selected, ...page };
      const { endpoints: items, ...rest } = await unwrap(api.GET('/v1/webhook-endpoints', { params: { query } }));
      return { items, ...rest };
    });
  const [own, all] = await Promise.all([read({ restaurant_id: restaurant }), read({})]);
  return [...all.items.filter((endpoint) => endpoint.restaurant_id === undefined), ...own.items];
}

async function deliveryOf(endpoint: Endpoint, order: string): Promise<Delivery> {
  const path = { endpoint_id: endpoint.id };
  const [attempts, failures] = await Promise.all([
    unwrap(api.GET('/v1/webhook-endpoints/{endpoint_id}/attempts', { params: { path, query: { limit: PAGE } } })),
    readAll(async (page) => {
      const params = { path, query: { limit: PAGE, ...page } };
      const { failures: items, ...rest } = await unwrap(
        api.GET('/v1/webhook-endpoints/{endpoint_id}/failures', { params }),
      );
      return { items, ...rest };
    }),
  ]);
  return {
    endpoint,
    attempts: attempts.attempts.filter((attempt) => attempt.order_id === order),
    failures: failures.items.filter((failure) => failure.order_id === order),
  };
}

/** Returns what each endpoint did; `undefined` if the server has no webhooks. */
export async function deliveriesOf(order: { id: string; restaurant_id: string }): Promise<Delivery[] | undefined> {
  try {
    const endpoints = await endpointsOf(order.restaurant_id);
    // A platform may have hundreds of endpoints, and each takes two requests: few are asked at a time.
    const deliveries = new Map<Endpoint, Delivery>();
    const outcomes = await runAll(endpoints, async (endpoint) => {
      deliveries.set(endpoint, await deliveryOf(endpoint, order.id));
    });
    for (const outcome of outcomes) if (!outcome.ok) throw outcome.error;
    return endpoints.flatMap((endpoint) => deliveries.get(endpoint) ?? []);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}
