import { common } from '../../lib/i18n/common/hi';
import type { Translation } from '../../lib/i18n/types';
import type { login as en } from './en';

const login: Translation<typeof en> = {
  'page.title': 'साइन इन करें',
};

export default { ...common, ...login };
