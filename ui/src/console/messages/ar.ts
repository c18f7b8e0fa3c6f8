import { common } from '../../lib/i18n/common/ar';
import type { Translation } from '../../lib/i18n/types';
import type { console as en } from './en';

const console: Translation<typeof en> = {
  'page.title': 'لوحة التحكم',
};

export default { ...common, ...console };
