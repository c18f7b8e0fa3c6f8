// What the board needs only once it is shown: the dialogs and the tickets. They are one script of their own, which the page requests as soon as it runs (`parts.svelte.ts`).
export { default as DetailsDialog } from './parts/DetailsDialog.svelte';
export { default as EndDialog } from './parts/EndDialog.svelte';
export { default as HelpDialog } from './parts/HelpDialog.svelte';
export { default as ItemsDialog } from './parts/ItemsDialog.svelte';
export { default as PauseDialog } from './parts/PauseDialog.svelte';
export { default as RecallDialog } from './parts/RecallDialog.svelte';
export { default as SettingsDialog } from './parts/SettingsDialog.svelte';
export { default as Tickets } from './tickets/Tickets.svelte';
export { pageRule, ticketOf } from './tickets/ticket';
