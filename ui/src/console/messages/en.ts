import { common } from '../../lib/i18n/common/en';
import { admin } from './admin/en';
import { orders } from './orders/en';

export const page = { ...orders, ...admin } as const;

export default { ...common, ...page };
