// Printing: shows tickets to the printer only, and opens the browser's print dialog. The dialog may stop the page's
// timers; the stream and the ringing do not depend on them.
import { tick } from 'svelte';
import { showToast } from '../../lib/components';
import type { BoardOrder } from '../types';
import { settings } from '../settings.svelte';
import { t } from '../text';
import { loadParts } from '../parts.svelte';
import type { Ticket } from './ticket';

let tickets = $state.raw<Ticket[]>([]);
let busy = false;
const queue: BoardOrder[][] = [];
let sheet: CSSStyleSheet | undefined;

export const printing = {
  /** The tickets that the printer gets now. */
  get tickets(): readonly Ticket[] {
    return tickets;
  },
};

/** Prints the tickets of orders, one job after the other. */
export async function printTickets(orders: BoardOrder[]): Promise<void> {
  if (orders.length === 0) return;
  queue.push(orders);
  if (busy) return;
  busy = true;
  try {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) await printJob(job);
  } catch {
    queue.length = 0;
    showToast({ text: t('print.failed'), tone: 'danger', duration: 0 });
  } finally {
    busy = false;
  }
}

async function printJob(orders: BoardOrder[]): Promise<void> {
  const { pageRule, ticketOf } = await loadParts();
  tickets = orders.map(ticketOf);
  await tick();
  const heights = [...document.querySelectorAll<HTMLElement>('[data-ticket]')].map((ticket) => ticket.offsetHeight);
  setPage(pageRule(settings.values.ticket, Math.max(0, ...heights)));
  const finished = printed();
  print();
  await finished;
  tickets = [];
}

/** Resolves when the print dialog has closed. In a browser without `afterprint`, the next tap on the page resolves it. */
function printed(): Promise<void> {
  const ended = new AbortController();
  return new Promise((resolve) => {
    for (const event of ['afterprint', 'pointerdown', 'keydown']) {
      const finish = () => {
        ended.abort();
        resolve();
      };
      addEventListener(event, finish, { capture: true, signal: ended.signal });
    }
  });
}

function setPage(rule: string): void {
  if (sheet === undefined) {
    sheet = new CSSStyleSheet();
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  }
  sheet.replaceSync(rule);
}
