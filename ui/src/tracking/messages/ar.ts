import { common } from '../../lib/i18n/common/ar';
import type { Translation } from '../../lib/i18n/types';
import type { tracking as en } from './en';

const tracking: Translation<typeof en> = {
  'page.title': 'طلبك',
};

export default { ...common, ...tracking };
