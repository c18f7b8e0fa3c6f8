// Copies texts, and states whether the browser allowed it.
import { showToast } from '../../lib/components';
import { t } from '../text';

export async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    showToast({ text: t('copied'), tone: 'success' });
  } catch {
    showToast({ text: t('copy.failed'), tone: 'danger' });
  }
}
