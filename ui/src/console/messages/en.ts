import { common } from '../../lib/i18n/common/en';
import { admin } from './admin/en';
import { orders } from './orders/en';
import { system } from './system/en';

export const page = { ...orders, ...admin, ...system } as const;

export default { ...common, ...page };
