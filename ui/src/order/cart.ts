// The cart: lines of one restaurant's menu. It contains no price, because the server sets the prices.
import { uuid } from '../lib/random';
import { isOffered } from './options';
import type { ChosenOption, Menu, MenuItem, OrderRequest } from './types';

/** Maximum quantity of one line. */
export const MAXIMUM_QUANTITY = 99;
/** Maximum number of lines. */
export const MAXIMUM_LINES = 100;

/** What a line is of: an item with options and a note. */
export interface Selection {
  item: string;
  options: readonly ChosenOption[];
  note: string;
}

export interface CartLine extends Selection {
  /** Identifies the line on this page; the server does not know it. */
  id: string;
  quantity: number;
}

export type Cart = readonly CartLine[];

function same(one: Selection, other: Selection): boolean {
  const text = ({ item, options, note }: Selection) =>
    JSON.stringify([item, note, options.map(({ group, option, quantity }) => `${group}/${option}/${quantity ?? 1}`).sort()]);
  return text(one) === text(other);
}

/** Adds a quantity of a selection: to the line of the same selection, or as a new line at the end. */
export function add(cart: Cart, selection: Selection, quantity: number): Cart {
  const existing = cart.find((line) => same(line, selection));
  if (existing !== undefined) return setQuantity(cart, existing.id, existing.quantity + quantity);
  if (cart.length >= MAXIMUM_LINES) return cart;
  return [...cart, { ...selection, id: uuid(), quantity: Math.min(quantity, MAXIMUM_QUANTITY) }];
}

/** Sets the quantity of a line. A quantity of zero removes the line. */
export function setQuantity(cart: Cart, id: string, quantity: number): Cart {
  if (quantity <= 0) return cart.filter((line) => line.id !== id);
  const bounded = Math.min(quantity, MAXIMUM_QUANTITY);
  return cart.map((line) => (line.id === id ? { ...line, quantity: bounded } : line));
}

/** Replaces the selection of a line, and joins it with another line that now has the same selection. */
export function change(cart: Cart, id: string, selection: Selection, quantity: number): Cart {
  const twin = cart.find((line) => line.id !== id && same(line, selection));
  if (twin !== undefined) return setQuantity(setQuantity(cart, id, 0), twin.id, twin.quantity + quantity);
  return setQuantity(
    cart.map((line) => (line.id === id ? { ...line, ...selection } : line)),
    id,
    quantity,
  );
}

/** Number of items in the cart. */
export function countOf(cart: Cart): number {
  return cart.reduce((sum, line) => sum + line.quantity, 0);
}

/** Number of one item in the cart, over all its lines. */
export function countOfItem(cart: Cart, item: string): number {
  return countOf(cart.filter((line) => line.item === item));
}

export function itemsOf(menu: Menu): Map<string, MenuItem> {
  return new Map(menu.categories.flatMap((category) => category.items).map((item) => [item.id, item]));
}

/** Drops the lines that the menu no longer offers as they are. Such a cart would have no price. */
export function reconcile(cart: Cart, menu: Menu): { cart: Cart; dropped: Cart } {
  const items = itemsOf(menu);
  const offered = (line: CartLine) => {
    const item = items.get(line.item);
    return item !== undefined && isOffered(item, line.options);
  };
  return { cart: cart.filter(offered), dropped: cart.filter((line) => !offered(line)) };
}

/** Returns the lines as the API takes them. */
export function toLines(cart: Cart): OrderRequest['lines'] {
  return cart.map(({ item, options, note, quantity }) => ({
    item,
    quantity,
    ...(options.length > 0 && { options: [...options] }),
    ...(note !== '' && { note }),
  }));
}

/** Reads a cart that the browser kept. What is not a line of a cart is left out. */
export function parseCart(text: string | null): Cart {
  let data: unknown;
  try {
    data = JSON.parse(text ?? '[]');
  } catch {
    return [];
  }
  return Array.isArray(data) ? data.filter(isLine).slice(0, MAXIMUM_LINES) : [];
}

/** Returns the cart of an earlier order's lines. What is not a line is left out. */
export function cartOf(lines: unknown): Cart {
  if (!Array.isArray(lines)) return [];
  const candidates = (lines as unknown[]).filter((line) => typeof line === 'object' && line !== null);
  return candidates.map((line): unknown => ({ ...(line as object), id: uuid() })).filter(isLine).slice(0, MAXIMUM_LINES);
}

function isLine(value: unknown): value is CartLine {
  if (typeof value !== 'object' || value === null) return false;
  const line = value as Partial<Record<keyof CartLine, unknown>>;
  const texts = [line.id, line.item, line.note].every((text) => typeof text === 'string');
  const quantity = Number.isInteger(line.quantity) ? (line.quantity as number) : 0;
  return texts && quantity >= 1 && quantity <= MAXIMUM_QUANTITY && Array.isArray(line.options) && line.options.every(isOption);
}

function isOption(value: unknown): value is ChosenOption {
  if (typeof value !== 'object' || value === null) return false;
  const { group, option, quantity = 1 } = value as Partial<Record<keyof ChosenOption, unknown>>;
  const counts = Number.isInteger(quantity) && (quantity as number) >= 1 && (quantity as number) <= MAXIMUM_QUANTITY;
  return typeof group === 'string' && typeof option === 'string' && counts;
}
