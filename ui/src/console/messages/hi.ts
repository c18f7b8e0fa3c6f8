import { common } from '../../lib/i18n/common/hi';
import { admin } from './admin/hi';
import { orders } from './orders/hi';

export default { ...common, ...orders, ...admin };
