import { common } from '../../lib/i18n/common/ar';
import type { Translation } from '../../lib/i18n/types';
import type { login as en } from './en';

const login: Translation<typeof en> = {
  'page.title': 'تسجيل الدخول',
  'login.lead': 'مرحبًا بعودتك. سجّل الدخول لترى طلباتك.',
  'login.email': 'البريد الإلكتروني',
  'login.email.missing': 'أدخل بريدك الإلكتروني.',
  'login.password': 'كلمة المرور',
  'login.password.missing': 'أدخل كلمة المرور.',
  'login.password.show': 'إظهار كلمة المرور',
  'login.password.hide': 'إخفاء كلمة المرور',
  'login.wrong': 'البريد الإلكتروني أو كلمة المرور غير صحيحة.',
  'login.link.redeeming': 'جارٍ تسجيل دخولك …',
  'login.link.failed.title': 'لم يعد هذا الرابط صالحًا',
  'login.link.failed': 'يعمل رابط الدخول مرة واحدة ولمدة عشر دقائق. سجّل الدخول بكلمة المرور أو اطلب رابطًا جديدًا.',
  'login.insecure.title': 'يتطلب تسجيل الدخول اتصالًا آمنًا',
  'login.insecure':
    'وصلت هذه الصفحة عبر HTTP غير مشفّر، فقد يقرأ آخرون في الشبكة كلمة مرورك. افتح Dabba على عنوان يبدأ بـ https:// أو على 127.0.0.1 على الخادم نفسه.',
  'login.insecure.operator':
    'للمشغّلين: اضبط شهادة (tls_certificate_file و tls_key_file) أو ضع وكيلًا بـ TLS أمام Dabba. في شبكة تثق بها، يسمح الإعداد insecure_sessions بتسجيل الدخول عبر HTTP غير مشفّر.',
  'login.signed_in': 'أنت مسجّل الدخول باسم {name}.',
  'login.continue': 'متابعة',
};

export default { ...common, ...login };
