// Sends a command, or asks what it would do.
import { api, unwrap, type Body, type Order } from '../../lib/api';
import type { Command } from './commands';

export type Effect = Body<'CommandEffect'>;
type Result = Body<'CommandResult'>;

interface Options {
  preview?: boolean;
  /** Fixed when the person confirms, so that a retry cannot do it twice. */
  key?: string;
}

function send(command: Command, order: Pick<Order, 'id' | 'version'>, body: object, options: Options): Promise<Result> {
  const params = {
    path: { order_id: order.id },
    query: options.preview ? { preview: true } : {},
    header: {
      // The command has the effect that was shown, or is refused.
      'If-Match': `"${order.version}"`,
      ...(options.key === undefined ? {} : { 'Idempotency-Key': options.key }),
    },
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

/** Returns what a command would do. Nothing changes. */
export async function preview(command: Command, order: Pick<Order, 'id' | 'version'>, body: object): Promise<Effect> {
  const result = await send(command, order, body, { preview: true });
  if (!('effect' in result)) throw new Error('The server did not preview the command.');
  return result.effect;
}

/** Carries out a command at the version that the person saw. */
export async function give(
  command: Command,
  order: Pick<Order, 'id' | 'version'>,
  body: object,
  key: string,
): Promise<void> {
  await send(command, order, body, { key });
}
