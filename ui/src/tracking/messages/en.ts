import { common } from '../../lib/i18n/common/en';

export const tracking = {
  'page.title': 'Your order',
} as const;

export default { ...common, ...tracking };
