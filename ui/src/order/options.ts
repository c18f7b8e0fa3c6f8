// The options of an item: what may be chosen, what is missing, and what it costs.
//
// The server decides all of this again. The page only keeps its customer from choosing what the server would refuse.
import { number } from '../lib/format';
import type { ChosenOption, MenuItem, MenuOption, OptionGroup } from './types';

/** Chosen option ids by group id. An option that is chosen several times occurs as often. */
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

/** Returns how often an option is chosen. */
export function quantityOf(chosen: Chosen, group: OptionGroup, option: string): number {
  return chosenIn(chosen, group).filter((id) => id === option).length;
}

/** Whether the options of the group have quantities, rather than being chosen or not. */
export function isCounted(group: OptionGroup): boolean {
  return !isSingle(group) && (group.max_per_option ?? 1) > 1;
}

/** Returns the largest quantity of an option that its group takes beside the other choices. */
export function mostOf(chosen: Chosen, group: OptionGroup, option: string): number {
  const others = chosenIn(chosen, group).filter((id) => id !== option).length;
  return Math.min(group.max_per_option ?? 1, group.max - others);
}

/** Returns the choice with another quantity of an option. */
export function withQuantity(chosen: Chosen, group: OptionGroup, option: string, quantity: number): Chosen {
  const others = chosenIn(chosen, group).filter((id) => id !== option);
  return { ...chosen, [group.id]: [...others, ...Array<string>(quantity).fill(option)] };
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
      .map((option) => ({ group: group.id, option: option.id, quantity: quantityOf(chosen, group, option.id) }))
      .filter(({ quantity }) => quantity > 0)
      // The short form of one, which orders of older pages have, too.
      .map(({ quantity, ...option }) => (quantity === 1 ? option : { ...option, quantity })),
  );
}

/** Returns the choice that the options of a line stand for. */
export function fromOptions(options: readonly ChosenOption[]): Chosen {
  const chosen: Record<string, string[]> = {};
  for (const { group, option, quantity } of options) (chosen[group] ??= []).push(...Array<string>(quantity ?? 1).fill(option));
  return chosen;
}

/** Whether an item can be ordered now. An item that is not on the menu cannot. */
export function canOrder(item: MenuItem | undefined): boolean {
  return item?.availability.status === 'available' && item.outside_hours === undefined;
}

/** Returns the name of a chosen option, after its quantity if that is not one. */
export function titleOf(name: string, { quantity }: ChosenOption): string {
  return (quantity ?? 1) > 1 ? `${number(quantity ?? 1)} × ${name}` : name;
}

/** Whether an option can be chosen now. The menu states the availability of an option only while it is unavailable. */
export function isAvailable(option: MenuOption): boolean {
  return option.availability?.status !== 'unavailable';
}

/** Whether a menu still offers an item with exactly these options. */
export function isOffered(item: MenuItem, options: readonly ChosenOption[]): boolean {
  const chosen = fromOptions(options);
  const known = options.every(({ group, option, quantity }) =>
    item.option_groups.some(
      (one) =>
        one.id === group &&
        (quantity ?? 1) <= (one.max_per_option ?? 1) &&
        one.options.some((other) => other.id === option && isAvailable(other)),
    ),
  );
  const bounded = item.option_groups.every((group) => chosenIn(chosen, group).length <= group.max);
  return known && bounded && incomplete(item, chosen).length === 0;
}

/** Returns the price of the chosen options of a group: without the cheapest ones that are free, or the highest price alone. */
function priceOf(group: OptionGroup, chosen: Chosen): number {
  const prices = chosenIn(chosen, group)
    .map((id) => group.options.find((option) => option.id === id)?.price_minor ?? 0)
    .sort((one, other) => one - other);
  const charged = group.price_by === 'highest' ? prices.slice(-1) : prices.slice(group.free ?? 0);
  return charged.reduce((sum, price) => sum + price, 0);
}

/** Returns the price of one item with its options. It is the menu's price: what counts is the quote. */
export function unitPrice(item: MenuItem, chosen: Chosen): number {
  return item.option_groups.reduce((sum, group) => sum + priceOf(group, chosen), item.price_minor);
}

export type RuleKey = 'rule.one' | 'rule.exactly' | 'rule.at_least' | 'rule.between' | 'rule.up_to' | 'rule.any';

/** Returns the rule of a group as a key of the messages, with `min` and `max` for them. */
export function ruleOf(group: OptionGroup): { key: RuleKey; min: number; max: number } {
  const { min, max } = group;
  const unlimited = max >= group.options.length * (group.max_per_option ?? 1);
  const key = (): RuleKey => {
    if (min === 1 && max === 1) return 'rule.one';
    if (min === max) return 'rule.exactly';
    if (min === 0) return unlimited ? 'rule.any' : 'rule.up_to';
    return unlimited ? 'rule.at_least' : 'rule.between';
  };
  return { key: key(), min, max };
}
