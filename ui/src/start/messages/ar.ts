import { common } from '../../lib/i18n/common/ar';
import type { Translation } from '../../lib/i18n/types';
import type { start as en } from './en';

const start: Translation<typeof en> = {
  'page.title': 'نظرة عامة',
};

export default { ...common, ...start };
