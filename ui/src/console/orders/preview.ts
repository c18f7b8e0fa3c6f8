// Asks what a command would do. `give` in `outbox.svelte.ts` carries it out.
import { api, unwrap, type Body, type Order } from '../../lib/api';
import type { Command } from './commands';

export type Effect = Body<'CommandEffect'>;
type Result = Body<'CommandResult'>;

/** Returns what a command would do. Nothing changes. */
export async function preview(command: Command, order: Pick<Order, 'id' | 'version'>, body: object): Promise<Effect> {
  const result = await ask(command, order, body);
  if (!('effect' in result)) throw new Error('The server did not preview the command.');
  return result.effect;
}

function ask(command: Command, order: Pick<Order, 'id' | 'version'>, body: object): Promise<Result> {
  const params = {
    path: { order_id: order.id },
    query: { preview: true },
    header: { 'If-Match': `"${order.version}"` },
  };
  switch (command) {
    case 'cancel':
      return unwrap(api.POST('/v1/orders/{order_id}/cancel', { params, body: body as Body<'Cancellation'> }));
    case 'refund':
      return unwrap(api.POST('/v1/orders/{order_id}/refund', { params, body: body as Body<'RefundRequest'> }));
    case 'assign_courier':
      return unwrap(api.POST('/v1/orders/{order_id}/assign', { params, body: body as Body<'Assignment'> }));
    case 'deliver':
      return unwrap(api.POST('/v1/orders/{order_id}/deliver', { params, body: body as Body<'Delivery'> }));
  }
}
