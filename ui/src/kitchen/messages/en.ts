import { common } from '../../lib/i18n/common/en';

export const kitchen = {
  'page.title': 'Kitchen',
} as const;

export default { ...common, ...kitchen };
