import { common } from '../../lib/i18n/common/ar';
import type { Translation } from '../../lib/i18n/types';
import type { order as en } from './en';

const order: Translation<typeof en> = {
  'page.title': 'اطلب',
};

export default { ...common, ...order };
