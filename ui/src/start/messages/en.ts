import { common } from '../../lib/i18n/common/en';

export const start = {
  'page.title': 'Overview',
} as const;

export default { ...common, ...start };
