import { common } from '../../lib/i18n/common/hi';
import type { Translation } from '../../lib/i18n/types';
import type { order as en } from './en';

const order: Translation<typeof en> = {
  'page.title': 'ऑर्डर',
};

export default { ...common, ...order };
