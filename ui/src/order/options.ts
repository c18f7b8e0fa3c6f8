// The options of an item: what may be chosen, what is missing, and what it costs.
//
// The server decides all of this again. The page only keeps its customer from choosing what the server would refuse.
import type { ChosenOption, MenuItem, OptionGroup } from './types';

/** Chosen option ids by group id. */
export type Chosen = Record<string, readonly string[]>;

/** Returns the chosen options of a group. */
export function chosenIn(chosen: Chosen, group: OptionGroup): readonly string[] {
  return chosen[group.id] ?? [];
}

/** Whether one option of the group excludes the others, so that a choice replaces the one before it. */
export function isSingle(group: OptionGroup): boolean {
  return group.max === 1;
}

/** Whether the group takes no further option. A choice in a single group always replaces, so it is never full. */
export function isFull(chosen: Chosen, group: OptionGroup): boolean {
  return !isSingle(group) && chosenIn(chosen, group).length >= group.max;
}

/** Returns the choice after a tap on an option. A tap that would exceed the maximum changes nothing. */
export function toggle(chosen: Chosen, group: OptionGroup, option: string): Chosen {
  const current = chosenIn(chosen, group);
  if (isSingle(group)) {
    const same = current.includes(option);
    if (same && group.min > 0) return chosen;
    return { ...chosen, [group.id]: same ? [] : [option] };
  }
  if (current.includes(option)) return { ...chosen, [group.id]: current.filter((id) => id !== option) };
  return isFull(chosen, group) ? chosen : { ...chosen, [group.id]: [...current, option] };
}

/** Returns the groups from which more options must be chosen. */
export function incomplete(item: MenuItem, chosen: Chosen): OptionGroup[] {
  return item.option_groups.filter((group) => chosenIn(chosen, group).length < group.min);
}

/** Returns the choice in the form and order of the API: groups and options as the menu lists them. */
export function toOptions(item: MenuItem, chosen: Chosen): ChosenOption[] {
  return item.option_groups.flatMap((group) =>
    group.options
      .filter((option) => chosenIn(chosen, group).includes(option.id))
      .map((option) => ({ group: group.id, option: option.id })),
  );
}

/** Returns the choice that the options of a line stand for. */
export function fromOptions(options: readonly ChosenOption[]): Chosen {
  const chosen: Record<string, string[]> = {};
  for (const { group, option } of options) (chosen[group] ??= []).push(option);
  return chosen;
}

/** Whether a menu still offers an item with exactly these options. */
export function isOffered(item: MenuItem, options: readonly ChosenOption[]): boolean {
  const chosen = fromOptions(options);
  const known = options.every(({ group, option }) =>
    item.option_groups.some((one) => one.id === group && one.options.some((other) => other.id === option)),
  );
  const bounded = item.option_groups.every((group) => chosenIn(chosen, group).length <= group.max);
  return known && bounded && incomplete(item, chosen).length === 0;
}

/** Returns the price of one item with its options. It is the menu's price: what counts is the quote. */
export function unitPrice(item: MenuItem, chosen: Chosen): number {
  let price = item.price_minor;
  for (const group of item.option_groups) {
    for (const option of group.options) {
      if (chosenIn(chosen, group).includes(option.id)) price += option.price_minor;
    }
  }
  return price;
}

export type RuleKey = 'rule.one' | 'rule.exactly' | 'rule.at_least' | 'rule.between' | 'rule.up_to' | 'rule.any';

/** Returns the rule of a group as a key of the messages, with `min` and `max` for them. */
export function ruleOf(group: OptionGroup): { key: RuleKey; min: number; max: number } {
  const { min, max } = group;
  const unlimited = max >= group.options.length;
  const key = (): RuleKey => {
    if (min === 1 && max === 1) return 'rule.one';
    if (min === max) return 'rule.exactly';
    if (min === 0) return unlimited ? 'rule.any' : 'rule.up_to';
    return unlimited ? 'rule.at_least' : 'rule.between';
  };
  return { key: key(), min, max };
}
