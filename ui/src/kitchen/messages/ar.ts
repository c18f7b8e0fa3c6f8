import { common } from '../../lib/i18n/common/ar';
import type { Translation } from '../../lib/i18n/types';
import type { kitchen as en } from './en';

const kitchen: Translation<typeof en> = {
  'page.title': 'المطبخ',
};

export default { ...common, ...kitchen };
