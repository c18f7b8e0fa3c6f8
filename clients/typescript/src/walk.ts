// Walks a card order from the quote to the refund, and lists with filters, with the client that openapi-typescript and
// openapi-fetch make of the API's description. Takes the JSON line that `dabba serve --demo --json` prints.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Order = components["schemas"]["Order"];
type OrderEvent = components["schemas"]["OrderEvent"];

interface Demo {
  address: string;
  restaurant_id: string;
  courier_id: string;
  tokens: { customer: string; restaurant: string; courier: string; admin: string };
}

function isDemo(value: unknown): value is Demo {
  return typeof value === "object" && value !== null && "address" in value && "tokens" in value;
}

const demo: unknown = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8"));
assert(isDemo(demo), "the server's announcement");

function client(address: string, token: string) {
  return createClient<paths>({ baseUrl: address, headers: { Authorization: `Bearer ${token}` } });
}

const customer = client(demo.address, demo.tokens.customer);
const staff = client(demo.address, demo.tokens.restaurant);

/** Returns the data of an answer, or fails with the problem. */
function ok<T>(answer: { data?: T; error?: unknown }): T {
  assert(answer.data !== undefined, JSON.stringify(answer.error));
  return answer.data;
}

/** Polls the order until it is so. */
async function until(orderId: string, isSo: (order: Order) => boolean): Promise<Order> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const order = ok(await customer.GET("/v1/orders/{order_id}", { params: { path: { order_id: orderId } } }));
    if (isSo(order)) return order;
    assert(Date.now() < deadline, `the order is still ${JSON.stringify(order.payment)}`);
    await sleep(100);
  }
}

/** Says what an event means; each type has its own data. Each role sees the members that are meant for it. */
function describe(event: OrderEvent): string {
  switch (event.type) {
    case "placed":
      return `placed for ${event.data.amounts?.total} ${event.data.currency}`;
    case "accepted":
      return `ready in ${event.data.preparation_minutes} minutes`;
    case "refunded":
      return `refunded ${event.data?.amount}`;
    default:
      return event.type;
  }
}

const restaurant = { restaurant_id: demo.restaurant_id };
const lines = [{ item: "cardamom-tea", quantity: 2 }];

const menu = ok(await customer.GET("/v1/restaurants/{restaurant_id}/menu", { params: { path: restaurant } }));
const tea = menu.categories.flatMap((category) => category.items).find((item) => item.id === "cardamom-tea");
assert(tea?.availability.status === "available");

const quote = ok(
  await customer.POST("/v1/restaurants/{restaurant_id}/quotes", {
    params: { path: restaurant },
    body: { lines, fulfilment: "collection", payment_method: "card" },
  }),
);
assert.equal(quote.amounts.subtotal, 2 * tea.price_minor);

const placed = ok(
  await customer.POST("/v1/restaurants/{restaurant_id}/orders", {
    params: { path: restaurant, header: { "Idempotency-Key": `typescript-${Date.now()}` } },
    body: {
      lines,
      fulfilment: { type: "collection" },
      payment_method: "card",
      payment_token: "tok_succeed",
      expected_total: quote.amounts.total,
    },
  }),
);
const path = { order_id: placed.id };
await until(placed.id, (order) => order.status === "confirmed");

ok(await staff.POST("/v1/orders/{order_id}/accept", { params: { path }, body: { preparation_minutes: 5 } }));
ok(await staff.POST("/v1/orders/{order_id}/ready", { params: { path } }));
ok(await staff.POST("/v1/orders/{order_id}/deliver", { params: { path } }));
await until(placed.id, (order) => order.payment.status === "captured");

ok(
  await staff.POST("/v1/orders/{order_id}/refund", {
    params: { path, header: { "Idempotency-Key": `typescript-refund-${Date.now()}` } },
    body: { reason: "missing_item", lines: [{ line: 0, quantity: 1 }] },
  }),
);
const refunded = await until(placed.id, (order) => order.payment.refunds?.[0]?.status === "paid");
assert.equal(refunded.payment.refunded, refunded.payment.refunds?.[0]?.amount);
assert.equal(refunded.payment.status, "partially_refunded");

const history = ok(await customer.GET("/v1/orders/{order_id}/events", { params: { path, query: { limit: 100 } } }));
const told = history.events.map(describe);
assert.equal(told[0], `placed for ${quote.amounts.total} ${quote.currency}`);
assert(told.includes("ready in 5 minutes") && told.some((text) => text.startsWith("refunded")), told.join(", "));

const listed = ok(await customer.GET("/v1/orders", { params: { query: { status: ["delivered", "cancelled"], limit: 100 } } }));
assert(listed.orders.some((order) => order.id === placed.id));
assert(listed.orders.every((order) => ["delivered", "cancelled"].includes(order.status)));

const wrong = await customer.GET("/v1/orders", { params: { query: { limit: 1000 } } });
assert.equal(wrong.response.status, 400);
assert.equal(wrong.error?.code, "bad_request");

console.log(`TypeScript: order ${placed.id} walked to its refund: ${told.join(", ")}`);
