import { startPage } from '../lib/start';
import Page from './Page.svelte';
import { loaders } from './text';

void startPage(Page, loaders);
