// What the board needs only once it is shown: the dialogs and the tickets. They are one script of their own, which the page requests as soon as it runs (`parts.svelte.ts`).
export { default as Dialogs } from './parts/Dialogs.svelte';
export { default as Tickets } from './tickets/Tickets.svelte';
export { pageRule, ticketOf } from './tickets/ticket';
