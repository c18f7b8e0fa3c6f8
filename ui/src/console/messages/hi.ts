import { common } from '../../lib/i18n/common/hi';
import { admin } from './admin/hi';
import { orders } from './orders/hi';
import { system } from './system/hi';

export default { ...common, ...orders, ...admin, ...system };
