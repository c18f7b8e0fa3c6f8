import { common } from '../../lib/i18n/common/hi';
import { admin } from './admin/en';
import { orders } from './orders/hi';

export default { ...common, ...orders, ...admin };
