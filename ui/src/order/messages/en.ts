import { common } from '../../lib/i18n/common/en';

export const order = {
  'page.title': 'Order',
} as const;

export default { ...common, ...order };
