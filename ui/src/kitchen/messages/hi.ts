import { common } from '../../lib/i18n/common/hi';
import type { Translation } from '../../lib/i18n/types';
import type { kitchen as en } from './en';

const kitchen: Translation<typeof en> = {
  'page.title': 'रसोई',
};

export default { ...common, ...kitchen };
