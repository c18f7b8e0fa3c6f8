// Types of messages. English is the source: its type decides which keys, parameters and plurals every language needs, so a
// missing key does not compile.

export const LOCALES = ['en', 'hi', 'ar'] as const;
export type Locale = (typeof LOCALES)[number];

/** Text by plural category (CLDR). `{count}` is the number. A fixed number is written `{30}`, for the digits of the language. */
export type Plural = { other: string } & Partial<Record<Intl.LDMLPluralRule, string>>;
export type Message = string | Plural;
export type Messages = Record<string, Message>;

/** What a language must provide for the messages `M` of the source. */
export type Translation<M extends Messages> = { [Key in keyof M]: M[Key] extends string ? string : Plural };

type Names<S extends string> = S extends `${string}{${infer Name}}${infer Rest}` ? Exclude<Name, `${number}`> | Names<Rest> : never;
type ParametersOf<M extends Message> = M extends string ? Names<M> : M extends { other: infer O extends string } ? Names<O> | 'count' : never;

/** The arguments after the key: none if the message has no parameters. */
export type Arguments<M extends Message> = [ParametersOf<M>] extends [never]
  ? []
  : [parameters: { [Name in ParametersOf<M>]: Name extends 'count' ? number : string | number }];

export interface Translate<M extends Messages> {
  <Key extends keyof M>(key: Key, ...parameters: Arguments<M[Key]>): string;
}
