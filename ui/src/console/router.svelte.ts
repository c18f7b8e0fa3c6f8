// The current view: follows the address, and changes it without a reload.
import { parseRoute, type Route } from './route';

let route = $state.raw<Route>(parseRoute(location.pathname, location.search));

export const router = {
  get route(): Route {
    return route;
  },
  /** Address of the current view, for links back to it. */
  get address(): string {
    return location.pathname + location.search;
  },
};

function follow(): void {
  route = parseRoute(location.pathname, location.search);
}

/** Shows the view of an address. `replace` leaves no entry in the history: for filters that change with each key. */
export function navigate(to: string, { replace = false } = {}): void {
  if (to === location.pathname + location.search) return;
  if (replace) history.replaceState(null, '', to);
  else history.pushState(null, '', to);
  follow();
}

/** Takes over a plain click on a link to a view. Other clicks, such as one for a new tab, stay with the browser. */
function click(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
    return;
  }
  const link = (event.target as Element | null)?.closest?.('a[href]');
  if (!(link instanceof HTMLAnchorElement) || link.target !== '' || link.hasAttribute('download')) return;
  const inside = link.pathname === '/console' || link.pathname.startsWith('/console/');
  if (link.origin !== location.origin || !inside || link.hash !== '') return;
  event.preventDefault();
  navigate(link.pathname + link.search);
}

/** Starts to follow the address. Returns the function that ends this. */
export function startRouter(): () => void {
  addEventListener('popstate', follow);
  document.addEventListener('click', click);
  return () => {
    removeEventListener('popstate', follow);
    document.removeEventListener('click', click);
  };
}
