import { common } from '../../lib/i18n/common/ar';
import type { Translation } from '../../lib/i18n/types';
import type { login as en } from './en';

const login: Translation<typeof en> = {
  'page.title': 'تسجيل الدخول',
};

export default { ...common, ...login };
