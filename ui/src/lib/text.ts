// Text that changes on pages that a browser may translate.
//
// A browser's translation replaces the text nodes of a page with elements of its own. A component that then changes "its"
// text node changes a node that nobody sees. So pages that survive translation set the content of an *element* whenever
// its text changes: the element drops what the translation put there, and the browser translates the new text.
import type { Attachment } from 'svelte/attachments';

const shown = new WeakMap<Element, string>();

/** Returns an attachment that shows `value` in an element without other content. The same value leaves it untouched. */
export function text(value: string): Attachment {
  return (element) => {
    if (shown.get(element) === value) return;
    shown.set(element, value);
    element.textContent = value;
  };
}
