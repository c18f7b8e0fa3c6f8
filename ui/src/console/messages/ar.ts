import { common } from '../../lib/i18n/common/ar';
import { admin } from './admin/ar';
import { orders } from './orders/ar';
import { system } from './system/ar';

export default { ...common, ...orders, ...admin, ...system };
