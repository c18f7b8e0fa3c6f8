// What the page knows: the restaurant and its menu, the cart, the details, and the price of it all.
import { api, ApiError, unwrap } from '../lib/api';
import { kept, keptInTab } from '../lib/kept';
import { current } from '../lib/session.svelte';
import { add, change, countOf, itemsOf, parseCart, reconcile, setQuantity, type Cart, type Selection } from './cart';
import { deliversHere } from './delivers';
import { EMPTY_DETAILS, parseDetails, TEXT_FIELDS, type Details } from './details';
import { LiveQuote, obstaclesFor, takesCards } from './quote.svelte';
import type { FulfilmentKind, Menu, MenuItem, Obstacle, Restaurant } from './types';

function tagOf(response: Response): string | undefined {
  return response.headers.get('ETag') ?? undefined;
}

export class Shop {
  readonly id: string;
  restaurant = $state.raw<Restaurant>();
  menu = $state.raw<Menu>();
  error = $state.raw<ApiError>();
  cart = $state.raw<Cart>([]);
  /** Names of lines that the cart lost because the menu no longer offers them. */
  dropped = $state.raw<string[]>([]);
  details = $state<Details>({ ...EMPTY_DETAILS });
  readonly quote: LiveQuote;
  /** Entity tag of the menu. */
  #tag: string | undefined;
  /** Names of all items that this page has seen, also of those that the menu has lost since. */
  readonly #names: Record<string, string> = {};
  /** Lines and texts of the account that was here last: an account that replaces it must not get them. */
  #earlier: { lines: string[]; details: Details };

  constructor(id: string) {
    this.id = id;
    this.quote = new LiveQuote(id);
    this.cart = parseCart(kept.get(this.#cartKey));
    this.details = parseDetails(keptInTab.get(this.#detailsKey));
    this.#earlier = this.#present();
  }

  readonly #items = $derived(this.menu === undefined ? undefined : itemsOf(this.menu));

  /** Number of items in the cart. */
  get count(): number {
    return countOf(this.cart);
  }

  /**
   * Whether this page can take a card. It has only the cards of a simulated provider: a real card needs the script of its
   * provider. Unknown, and so `false`, without a session and a quote.
   */
  get offersCards(): boolean {
    const isSimulated = current.session?.server.simulated_payments === true;
    return isSimulated && this.quote.quote !== undefined && takesCards(this.quote.quote);
  }

  /** What keeps from ordering this cart with the chosen payment. */
  get obstacles(): Obstacle[] {
    if (this.quote.quote === undefined) return [];
    return obstaclesFor(this.quote.quote, this.details.payment === 'cash' ? 'cash' : 'card');
  }

  /** Whether the shown price is the one of the cart, and nothing keeps from ordering. */
  get orderable(): boolean {
    const { quote, pending, error } = this.quote;
    return quote !== undefined && !pending && error === undefined && this.obstacles.length === 0;
  }

  get #cartKey(): string {
    return `dabba.order.cart.${this.id}`;
  }

  get #detailsKey(): string {
    return `dabba.order.details.${this.id}`;
  }

  /** Reads the restaurant and its menu. */
  async load(): Promise<void> {
    const path = { restaurant_id: this.id };
    try {
      const call = api.GET('/v1/restaurants/{restaurant_id}/menu', { params: { path } });
      const [restaurant, menu] = await Promise.all([
        unwrap(api.GET('/v1/restaurants/{restaurant_id}', { params: { path } })),
        unwrap(call),
      ]);
      this.error = undefined;
      this.restaurant = restaurant;
      this.#tag = tagOf((await call).response);
      this.#take(menu);
      this.setFulfilment(this.details.fulfilment);
    } catch (cause) {
      if (!(cause instanceof ApiError)) throw cause;
      this.error = cause;
    }
  }

  /**
   * Reads whether the restaurant takes orders, and the menu if it has changed. What is shown stays if the server does not
   * answer. Returns the pause that the server asks for, in milliseconds.
   */
  async refresh(): Promise<number> {
    const shown = this.restaurant;
    if (shown === undefined) return 0;
    const path = { restaurant_id: this.id };
    try {
      const restaurant = await unwrap(api.GET('/v1/restaurants/{restaurant_id}', { params: { path } }));
      // Another read was faster.
      if (this.restaurant !== shown) return 0;
      if (restaurant.accepting !== shown.accepting) await this.load();
      else if (restaurant.revision !== shown.revision || restaurant.opens_at !== shown.opens_at) {
        this.restaurant = restaurant;
        this.setFulfilment(this.details.fulfilment);
      }
      if (restaurant.accepting && shown.accepting) await this.#refreshMenu();
      return 0;
    } catch (cause) {
      if (!(cause instanceof ApiError)) throw cause;
      return cause.retryAfter ?? 0;
    }
  }

  /** Reads the menu if it has changed, such as by an item that is switched off. The server does not repeat an unchanged menu. */
  async #refreshMenu(): Promise<void> {
    const shown = this.menu;
    const params = { path: { restaurant_id: this.id }, ...(this.#tag && { header: { 'If-None-Match': this.#tag } }) };
    const call = api.GET('/v1/restaurants/{restaurant_id}/menu', { params });
    const { response } = await call;
    if (response.status === 304) return;
    const menu = await unwrap(call);
    // Another read was faster.
    if (this.menu !== shown) return;
    this.#tag = tagOf(response);
    this.#take(menu);
    // The quote states which items of the cart are unavailable.
    this.requestQuote(0);
  }

  #take(menu: Menu): void {
    this.menu = menu;
    const { cart, dropped } = reconcile(this.cart, menu);
    for (const category of menu.categories) for (const item of category.items) this.#names[item.id] = item.name;
    if (dropped.length === 0) return;
    this.dropped = dropped.map((line) => this.nameOf(line.item));
    this.#setCart(cart);
  }

  nameOf(item: string): string {
    return this.#names[item] ?? item;
  }

  item(id: string): MenuItem | undefined {
    return this.#items?.get(id);
  }

  add(selection: Selection, quantity: number): void {
    this.#setCart(add(this.cart, selection, quantity));
  }

  change(line: string, selection: Selection, quantity: number): void {
    this.#setCart(change(this.cart, line, selection, quantity));
  }

  setQuantity(line: string, quantity: number): void {
    this.#setCart(setQuantity(this.cart, line, quantity));
  }

  clear(): void {
    this.#setCart([]);
  }

  /** Fills the cart with the lines of an order of this account, as far as the menu still offers them. */
  restore(cart: Cart): void {
    this.#earlier.lines.push(...cart.map(({ id }) => id));
    this.refill(cart);
  }

  /** Fills the cart with lines that the person wants, as far as the menu still offers them. */
  refill(cart: Cart): void {
    this.#setCart(cart);
    if (this.menu !== undefined) this.#take(this.menu);
  }

  #setCart(cart: Cart): void {
    this.cart = cart;
    if (cart.length === 0) kept.delete(this.#cartKey);
    else kept.set(this.#cartKey, JSON.stringify(cart));
    this.requestQuote();
  }

  /** Chooses how the food gets to the customer; what the restaurant does not offer is replaced by what it does. */
  setFulfilment(kind: FulfilmentKind): void {
    const { collection } = this.restaurant ?? { collection: true };
    const delivers = deliversHere(this.restaurant);
    this.details.fulfilment = kind === 'delivery' ? (delivers ? kind : 'collection') : collection ? kind : 'delivery';
    this.requestQuote(0);
  }

  requestQuote(delay?: number): void {
    this.quote.request(this.cart, this.details.fulfilment, delay);
  }

  /** Keeps the details for this tab, so that a reload does not lose them. */
  keepDetails(): void {
    keptInTab.set(this.#detailsKey, JSON.stringify(this.details));
  }

  /** Fills an empty name in. It belongs to the account, because nobody has entered it. */
  suggestName(name: string): void {
    if (this.details.name !== '') return;
    this.details.name = name;
    this.#earlier.details.name = name;
  }

  /** Notes that what is here belongs to the account that is signed in, or whose session has just ended. */
  claim(): void {
    this.#earlier = this.#present();
  }

  #present(): { lines: string[]; details: Details } {
    return { lines: this.cart.map(({ id }) => id), details: { ...this.details } };
  }

  /** Forgets what belongs to the person who signs out, and whose kept data is deleted. */
  forgetPerson(): void {
    this.details = { ...EMPTY_DETAILS, fulfilment: this.details.fulfilment };
    this.clear();
  }

  /** Forgets what belongs to an earlier account. What was entered since stays. */
  forgetEarlier(): void {
    const { lines, details } = this.#earlier;
    for (const field of TEXT_FIELDS) if (this.details[field] === details[field]) this.details[field] = '';
    this.#setCart(this.cart.filter(({ id }) => !lines.includes(id)));
    this.keepDetails();
  }
}
