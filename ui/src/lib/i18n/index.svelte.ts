// The page's language: choice, lazy loading, and lookup of messages.
//
// A page names its messages once:
//
//     export const t = translator<typeof en>();
//     await startLanguage({ en: () => import('./messages/en'), hi: …, ar: … });
//
// A language is one chunk with the messages of the page and of the shared components.
import { kept } from '../kept';
import type { common } from './common/en';
import { LOCALES, type Arguments, type Locale, type Message, type Messages, type Translate } from './types';

export { LOCALES, type Locale, type Translation } from './types';

const CHOICE = 'dabba.language';
const RIGHT_TO_LEFT: readonly Locale[] = ['ar'];

/** Names of the languages, each in itself. */
export const LANGUAGE_NAMES: Record<Locale, string> = { en: 'English', hi: 'हिन्दी', ar: 'العربية' };

export type Loaders = Record<Locale, () => Promise<{ default: Messages }>>;

let locale = $state<Locale>('en');
/** The locale of numbers, dates and amounts: the page's language as it is written where the user lives, such as `en-GB`. */
let region = $state('en');
let messages = $state.raw<Messages>({});
let rules = new Intl.PluralRules('en');
let numbers = new Intl.NumberFormat('en');
let loaders: Loaders | undefined;

export const language = {
  get locale(): Locale {
    return locale;
  },
  /** Locale for `Intl`. */
  get region(): string {
    return region;
  },
  get direction(): 'ltr' | 'rtl' {
    return directionOf(locale);
  },
};

export function directionOf(of: Locale): 'ltr' | 'rtl' {
  return RIGHT_TO_LEFT.includes(of) ? 'rtl' : 'ltr';
}

/** Returns the first supported language of a list such as `navigator.languages`. */
export function preferredLocale(languages: readonly string[]): Locale {
  for (const tag of languages) {
    const base = tag.toLowerCase().split('-')[0];
    const found = LOCALES.find((supported) => supported === base);
    if (found !== undefined) return found;
  }
  return 'en';
}

/** Returns the first entry of a list such as `navigator.languages` in a language, with its region. */
export function regionOf(of: Locale, languages: readonly string[]): string {
  return languages.find((tag) => tag.toLowerCase().split('-')[0] === of) ?? of;
}

/** Returns the language that the user chose, or the first one of the browser's that there is. */
export function chosenLocale(): Locale {
  const choice = kept.get(CHOICE);
  return LOCALES.find((supported) => supported === choice) ?? preferredLocale(navigator.languages);
}

/** Loads the page's language before the page is shown. */
export async function startLanguage(pageLoaders: Loaders): Promise<void> {
  loaders = pageLoaders;
  await load(chosenLocale());
}

/** Switches the language and remembers the choice. Rejects if the language cannot be loaded; the page stays as it is. */
export async function chooseLanguage(choice: Locale): Promise<void> {
  await load(choice);
  kept.set(CHOICE, choice);
}

async function load(choice: Locale): Promise<void> {
  if (loaders === undefined) throw new Error('startLanguage was not called.');
  setMessages(choice, (await loaders[choice]()).default, regionOf(choice, navigator.languages));
  document.documentElement.lang = choice;
  document.documentElement.dir = directionOf(choice);
}

/** Sets the messages directly. Only `load` and tests call it. */
export function setMessages(choice: Locale, loaded: Messages, inRegion: string = choice): void {
  rules = new Intl.PluralRules(choice);
  numbers = new Intl.NumberFormat(inRegion);
  region = inRegion;
  locale = choice;
  messages = loaded;
}

function translate(key: string, parameters: Record<string, string | number> = {}): string {
  const message = messages[key];
  if (message === undefined) return key;
  return textOf(message, parameters).replace(/\{(\w+)\}/g, (whole, name: string) => {
    // A fixed number, such as `{30}`, is written with the digits of the language, too.
    const value = parameters[name] ?? (/^\d+$/.test(name) ? Number(name) : undefined);
    if (value === undefined) return whole;
    return typeof value === 'number' ? numbers.format(value) : value;
  });
}

function textOf(message: Message, parameters: Record<string, string | number>): string {
  if (typeof message === 'string') return message;
  return message[rules.select(Number(parameters['count'] ?? 0))] ?? message.other;
}

/** Returns the lookup function for the messages of a page. */
export function translator<M extends Messages>(): Translate<M> {
  return (<Key extends keyof M & string>(key: Key, ...parameters: Arguments<M[Key]>) =>
    translate(key, parameters[0])) as Translate<M>;
}

/** Lookup of the messages of the shared components. */
export const commonText: Translate<typeof common> = translator<typeof common>();

/** Returns the text for a value from the API, such as a status; a value that this build does not know is shown as it is. */
export function known(prefix: string, value: string): string {
  const key = `${prefix}.${value}`;
  return messages[key] === undefined ? value.replaceAll('_', ' ') : translate(key);
}
