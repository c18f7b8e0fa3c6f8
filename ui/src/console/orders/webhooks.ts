// What the webhook endpoints did with the events of one order.
import { api, ApiError, unwrap, type Body } from '../../lib/api';
import { runAll } from '../bulk';
import { readAll } from '../read-all';
import { inTurn } from '../turns';

type Endpoint = Body<'WebhookEndpoint'>;

export interface Delivery {
  endpoint: Endpoint;
  attempts: Body<'WebhookAttempt'>[];
  failures: Body<'WebhookFailure'>[];
}

/** Number of endpoints, attempts or failures per request. */
const PAGE = 100;
/** Maximum number of endpoints that are asked about an order. */
export const MAXIMUM_ENDPOINTS = 50;
/** Maximum number of failures of an endpoint among which those of an order are searched. */
export const MAXIMUM_FAILURES = 500;

export interface Deliveries {
  deliveries: Delivery[];
  /** Whether there are further endpoints or failures, which were not read. */
  more: boolean;
}

/** Reads the endpoints that receive the events of a restaurant: its own, and those of the platform. */
async function endpointsOf(restaurant: string): Promise<{ endpoints: Endpoint[]; more: boolean }> {
  const read = (selected: { restaurant_id?: string }) =>
    readAll(async (page) => {
      const query = { limit: PAGE, ...selected, ...page };
      const { endpoints: items, ...rest } = await unwrap(api.GET('/v1/webhook-endpoints', { params: { query } }));
      return { items, ...rest };
    });
  const [own, all] = await Promise.all([read({ restaurant_id: restaurant }), read({})]);
  const platform = all.items.filter((endpoint) => endpoint.restaurant_id === undefined);
  return { endpoints: [...platform, ...own.items], more: own.more || all.more };
}

async function deliveryOf(endpoint: Endpoint, order: string): Promise<Delivery & { more: boolean }> {
  const path = { endpoint_id: endpoint.id };
  const attempts = await inTurn(() =>
    unwrap(api.GET('/v1/webhook-endpoints/{endpoint_id}/attempts', { params: { path, query: { limit: PAGE } } })),
  );
  const failures = await readAll(async (page) => {
    const params = { path, query: { limit: PAGE, ...page } };
    const { failures: items, ...rest } = await inTurn(() =>
      unwrap(api.GET('/v1/webhook-endpoints/{endpoint_id}/failures', { params })),
    );
    return { items, ...rest };
  }, MAXIMUM_FAILURES);
  return {
    endpoint,
    attempts: attempts.attempts.filter((attempt) => attempt.order_id === order),
    failures: failures.items.filter((failure) => failure.order_id === order),
    more: failures.more,
  };
}

/** Returns what each endpoint did; `undefined` if the server has no webhooks. */
export async function deliveriesOf(order: { id: string; restaurant_id: string }): Promise<Deliveries | undefined> {
  try {
    const { endpoints, more } = await endpointsOf(order.restaurant_id);
    const asked = endpoints.slice(0, MAXIMUM_ENDPOINTS);
    const deliveries = new Map<string, Delivery & { more: boolean }>();
    const outcomes = await runAll(asked, async (endpoint) => deliveries.set(endpoint.id, await deliveryOf(endpoint, order.id)));
    for (const outcome of outcomes) if (!outcome.ok) throw outcome.error;
    // The order of the endpoints, whichever answered first.
    const answered = asked.flatMap((endpoint) => deliveries.get(endpoint.id) ?? []);
    const isCut = more || endpoints.length > asked.length || answered.some((delivery) => delivery.more);
    return { deliveries: answered, more: isCut };
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}
