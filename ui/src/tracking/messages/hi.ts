import { common } from '../../lib/i18n/common/hi';
import type { Translation } from '../../lib/i18n/types';
import type { tracking as en } from './en';

const tracking: Translation<typeof en> = {
  'page.title': 'आपका ऑर्डर',
};

export default { ...common, ...tracking };
