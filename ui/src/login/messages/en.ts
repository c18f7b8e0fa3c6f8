import { common } from '../../lib/i18n/common/en';

export const login = {
  'page.title': 'Sign in',
  'login.lead': 'Welcome back. Sign in to see your orders.',
  'login.email': 'E-mail address',
  'login.email.missing': 'Enter your e-mail address.',
  'login.password': 'Password',
  'login.password.missing': 'Enter your password.',
  'login.password.show': 'Show password',
  'login.password.hide': 'Hide password',
  'login.wrong': 'The e-mail address or the password is wrong.',
  'login.link.redeeming': 'Signing you in …',
  'login.link.failed.title': 'This link no longer works',
  'login.link.failed':
    'A sign-in link works once, and for ten minutes. Sign in with your password, or ask for a new link.',
  'login.insecure.title': 'Sign-in needs a secure connection',
  'login.insecure':
    'This page came over plain HTTP, so others in the network could read your password. Open Dabba at an address that begins with https://, or at 127.0.0.1 on the server itself.',
  'login.insecure.operator':
    'For operators: set a certificate (tls_certificate_file, tls_key_file), or put a proxy with TLS in front of Dabba. In a network that you trust, the setting insecure_sessions allows sign-in over plain HTTP.',
  'login.signed_in': 'You are signed in as {name}.',
  'login.continue': 'Continue',
} as const;

export default { ...common, ...login };
