import { common } from '../../lib/i18n/common/en';

export const login = {
  'page.title': 'Sign in',
} as const;

export default { ...common, ...login };
