import { translator, type Loaders } from '../lib/i18n/index.svelte';
import type messages from './messages/en';

export const loaders: Loaders = {
  en: () => import('./messages/en'),
  hi: () => import('./messages/hi'),
  ar: () => import('./messages/ar'),
};

/** Lookup of the messages of this page and of the shared ones. */
export const t = translator<typeof messages>();
