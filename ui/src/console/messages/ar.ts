import { common } from '../../lib/i18n/common/ar';
import { admin } from './admin/en';
import { orders } from './orders/ar';

export default { ...common, ...orders, ...admin };
