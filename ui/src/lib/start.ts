// What every page does first: appearance, language, mount.
import { mount, type Component } from 'svelte';
import './theme.css';
import { chosenLocale, directionOf, startLanguage, type Loaders, type Locale } from './i18n/index.svelte';
import { startTheme } from './theme.svelte';

/** What a page without its language says, and the button's text. Such a text can come from no language's file. */
const FAILED: Record<Locale, [string, string]> = {
  en: ['This page could not be loaded.', 'Try again'],
  hi: ['यह पेज लोड नहीं हो सका।', 'फिर कोशिश करें'],
  ar: ['تعذّر تحميل هذه الصفحة.', 'حاول مرة أخرى'],
};

/** Shows a page once its language is loaded. */
export async function startPage(page: Component, loaders: Loaders): Promise<void> {
  startTheme();
  const target = document.getElementById('app') ?? document.body;
  try {
    await startLanguage(loaders);
  } catch {
    showFailure(target);
    return;
  }
  mount(page, { target });
}

function showFailure(target: HTMLElement): void {
  const locale = chosenLocale();
  const [text, retry] = FAILED[locale];
  const page = document.createElement('main');
  const heading = document.createElement('h1');
  const button = document.createElement('button');
  document.documentElement.lang = locale;
  document.documentElement.dir = directionOf(locale);
  heading.textContent = text;
  button.textContent = retry;
  button.onclick = () => location.reload();
  page.append(heading, button);
  target.replaceChildren(page);
}
