import { startPage } from '../../../src/lib/start';
import { loaders } from '../../../src/start/text';
import Gallery from './Gallery.svelte';

void startPage(Gallery, loaders);
