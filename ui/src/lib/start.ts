// What every page does first: appearance, language, mount.
import { mount, type Component } from 'svelte';
import './theme.css';
import { startLanguage, type Loaders } from './i18n/index.svelte';
import { startTheme } from './theme.svelte';

/** Shows a page once its language is loaded. */
export async function startPage(page: Component, loaders: Loaders): Promise<void> {
  const target = document.getElementById('app');
  if (target === null) return;
  startTheme();
  try {
    await startLanguage(loaders);
  } catch {
    // Without a language there are no messages.
    target.textContent = 'This page could not be loaded. Check the network, then reload the page.';
    return;
  }
  mount(page, { target });
}
