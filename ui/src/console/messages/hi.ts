import { common } from '../../lib/i18n/common/hi';
import type { Translation } from '../../lib/i18n/types';
import type { console as en } from './en';

const console: Translation<typeof en> = {
  'page.title': 'कंसोल',
};

export default { ...common, ...console };
