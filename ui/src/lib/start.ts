// What every page does first: appearance, language, mount.
import { mount, type Component } from 'svelte';
import './theme.css';
import { startLanguage, type Loaders } from './i18n/index.svelte';
import { startTheme } from './theme.svelte';

/** Shows a page once its language is loaded. */
export async function startPage(page: Component, loaders: Loaders): Promise<void> {
  startTheme();
  await startLanguage(loaders);
  const target = document.getElementById('app');
  if (target !== null) mount(page, { target });
}
