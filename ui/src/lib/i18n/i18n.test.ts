import { describe, expect, it } from 'vitest';
import { known, preferredLocale, regionOf, setMessages, translator } from './index.svelte';
import { LOCALES, type Locale, type Message, type Messages } from './types';

type Module = { default: Messages };
const modules = import.meta.glob<Module>('../../*/messages/*.ts', { eager: true });

/** Messages of each page by language. */
const pages = new Map<string, Partial<Record<Locale, Messages>>>();
for (const [path, module] of Object.entries(modules)) {
  const [, page, locale] = /([^/]+)\/messages\/(\w+)\.ts$/.exec(path) ?? [];
  if (page === undefined || locale === undefined) throw new Error(path);
  pages.set(page, { ...pages.get(page), [locale as Locale]: module.default });
}

function texts(message: Message): string[] {
  return typeof message === 'string' ? [message] : Object.values(message);
}

function parameters(message: Message): string {
  const names = texts(message).flatMap((text) => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]));
  // A language may write a fixed number as a word.
  return [...new Set(names)].filter((name) => !/^\d+$/.test(name ?? '')).sort().join();
}

/** Texts whose digits are codes, parts of addresses or what a person types, and so the same in every language. */
const DIGITS = ['disabled.gone', 'endpoint.url.hint', 'lacking.amount', 'login.insecure'];

describe.each([...pages])('the messages of %s', (page, languages) => {
  it('exist in every language, with the same keys', () => {
    expect(Object.keys(languages).sort()).toEqual([...LOCALES].sort());
    const keys = Object.keys(languages.en ?? {}).sort();
    for (const locale of LOCALES) expect(Object.keys(languages[locale] ?? {}).sort(), locale).toEqual(keys);
  });

  it('use the same parameters, and every plural category, in every language', () => {
    for (const locale of LOCALES) {
      const { pluralCategories } = new Intl.PluralRules(locale).resolvedOptions();
      for (const [key, message] of Object.entries(languages[locale] ?? {})) {
        const source = languages.en?.[key] ?? '';
        expect(parameters(message), `${locale} ${key}`).toBe(parameters(source));
        if (typeof message !== 'string') {
          expect(Object.keys(message).sort(), `${locale} ${key}`).toEqual([...pluralCategories].sort());
        }
        for (const text of texts(message)) expect(text.trim(), `${locale} ${key}`).not.toBe('');
      }
    }
  });

  it.skipIf(page === 'kitchen')('have no digits of one script: a fixed number is written `{30}`', () => {
    for (const locale of LOCALES) {
      const fixed = Object.entries(languages[locale] ?? {}).filter(
        ([key, message]) => !DIGITS.includes(key) && texts(message).some((text) => /\d/.test(text.replace(/\{\w+\}|https?/g, ''))),
      );
      expect(fixed.map(([key]) => key), locale).toEqual([]);
    }
  });

  it('are translated', () => {
    // Words that other scripts keep: names and units.
    for (const locale of ['hi', 'ar'] as const) {
      const same = Object.entries(languages[locale] ?? {}).filter(
        ([key, message]) => typeof message === 'string' && message === languages.en?.[key] && /[a-z]{4}/i.test(message),
      );
      expect(same.map(([key]) => key)).toEqual([]);
    }
  });
});

describe('a message', () => {
  const source = {
    plain: 'Text',
    named: 'Order {code} for {name}',
    counted: { one: '{count} order of {code}', other: '{count} orders of {code}' },
    'status.ready': 'Ready',
  } as const;
  const t = translator<typeof source>();

  it('contains its parameters, with numbers as the language writes them', () => {
    setMessages('en', source);
    expect(t('plain')).toBe('Text');
    expect(t('named', { code: 'K7M3Q', name: 'Ann' })).toBe('Order K7M3Q for Ann');
    expect(t('counted', { count: 1, code: 'A' })).toBe('1 order of A');
    expect(t('counted', { count: 1234, code: 'A' })).toBe('1,234 orders of A');
  });

  it('writes a fixed number with the digits of the language, and needs no parameter for it', () => {
    const english = { days: '{30} days of {name}' } as const;
    const days = translator<typeof english>();
    setMessages('en', english);
    expect(days('days', { name: 'A' })).toBe('30 days of A');
    setMessages('ar', { days: '{30} يومًا من {name}' }, 'ar-EG');
    expect(days('days', { name: 'A' })).toBe('٣٠ يومًا من A');
  });

  it('has the form of its language for a number', () => {
    const forms = { zero: 'z', one: 'o', two: 't', few: 'f', many: 'm', other: 'x' };
    setMessages('ar', { counted: forms });
    const counts = [0, 1, 2, 3, 11, 100].map((count) => t('counted', { count, code: '' }));
    expect(counts).toEqual(['z', 'o', 't', 'f', 'm', 'x']);
  });

  it('of a value from the API is the value itself if this build does not know it', () => {
    setMessages('en', source);
    expect(known('status', 'ready')).toBe('Ready');
    expect(known('status', 'on_the_moon')).toBe('on the moon');
  });

  it('with a missing key or parameter does not compile', () => {
    setMessages('en', source);
    // @ts-expect-error there is no such key
    t('nothing');
    // @ts-expect-error `name` is missing
    t('named', { code: 'A' });
    // @ts-expect-error `count` is a number
    t('counted', { count: '1', code: 'A' });
    // @ts-expect-error the message has no parameters
    t('plain', { code: 'A' });
    expect(t('plain')).toBe('Text');
  });
});

describe('the region of a language', () => {
  it.each([
    ['en', ['hi-IN', 'en-GB', 'en-US'], 'en-GB'],
    ['ar', ['ar-EG'], 'ar-EG'],
    ['hi', ['en-IN'], 'hi'],
  ] as const)('%s among %j is %s', (locale, languages, region) => {
    expect(regionOf(locale, languages)).toBe(region);
  });
});

describe('the preferred language', () => {
  it.each([
    [['de-DE', 'hi-IN', 'en'], 'hi'],
    [['ar-EG'], 'ar'],
    [['fr', 'de'], 'en'],
    [[], 'en'],
  ])('of %j is %s', (languages, locale) => {
    expect(preferredLocale(languages)).toBe(locale);
  });
});
