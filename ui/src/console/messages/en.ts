import { common } from '../../lib/i18n/common/en';

export const console = {
  'page.title': 'Console',
} as const;

export default { ...common, ...console };
