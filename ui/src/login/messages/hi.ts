import { common } from '../../lib/i18n/common/hi';
import type { Translation } from '../../lib/i18n/types';
import type { login as en } from './en';

const login: Translation<typeof en> = {
  'page.title': 'साइन इन करें',
  'login.lead': 'आपका फिर से स्वागत है। अपने ऑर्डर देखने के लिए साइन इन करें।',
  'login.email': 'ई-मेल पता',
  'login.email.missing': 'अपना ई-मेल पता लिखें।',
  'login.password': 'पासवर्ड',
  'login.password.missing': 'अपना पासवर्ड लिखें।',
  'login.password.show': 'पासवर्ड दिखाएँ',
  'login.password.hide': 'पासवर्ड छिपाएँ',
  'login.wrong': 'ई-मेल पता या पासवर्ड गलत है।',
  'login.link.redeeming': 'साइन इन हो रहा है …',
  'login.link.failed.title': 'यह लिंक अब काम नहीं करता',
  'login.link.failed':
    'साइन-इन लिंक एक बार और दस मिनट तक काम करता है। अपने पासवर्ड से साइन इन करें या नया लिंक माँगें।',
  'login.insecure.title': 'साइन इन के लिए सुरक्षित कनेक्शन चाहिए',
  'login.insecure':
    'यह पेज बिना सुरक्षा वाले HTTP से आया है, इसलिए नेटवर्क में दूसरे लोग आपका पासवर्ड पढ़ सकते हैं। Dabba को https:// से शुरू होने वाले पते पर खोलें, या सर्वर पर ही 127.0.0.1 पर खोलें।',
  'login.insecure.operator':
    'संचालकों के लिए: प्रमाणपत्र सेट करें (tls_certificate_file, tls_key_file), या Dabba के आगे TLS वाला प्रॉक्सी लगाएँ। भरोसेमंद नेटवर्क में insecure_sessions सेटिंग सामान्य HTTP पर साइन इन की अनुमति देती है।',
  'login.signed_in': 'आप {name} के रूप में साइन इन हैं।',
  'login.continue': 'आगे बढ़ें',
};

export default { ...common, ...login };
