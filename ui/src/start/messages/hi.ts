import { common } from '../../lib/i18n/common/hi';
import type { Translation } from '../../lib/i18n/types';
import type { start as en } from './en';

const start: Translation<typeof en> = {
  'page.title': 'अवलोकन',
};

export default { ...common, ...start };
