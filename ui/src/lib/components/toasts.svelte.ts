// Short messages at the edge of the page. What the user must not miss stays until it is dismissed (`duration` 0).

export interface Toast {
  id: number;
  text: string;
  tone: 'neutral' | 'success' | 'danger';
  /** A button, such as "Undo". */
  action?: { label: string; run: () => void };
}

/** Time for which a toast is shown by default, in milliseconds. */
export const TOAST_DURATION = 6_000;
/** Maximum number of toasts; the oldest makes room. */
const MAXIMUM_TOASTS = 5;

let next = 1;
const shown = $state<Toast[]>([]);
/** The regions that are open, the last one on top. */
let regions = $state.raw<readonly object[]>([]);

export const toasts = {
  /** Returns the toasts that a region shows: all of them in the region on top, and none in the others. */
  shownIn(region: object): readonly Toast[] {
    return regions.at(-1) === region ? shown : [];
  },
};

/** Opens a region above the others. Returns the function that closes it. */
export function openRegion(region: object): () => void {
  regions = [...regions, region];
  return () => (regions = regions.filter((other) => other !== region));
}

/** Shows a toast. Returns the function that removes it. */
export function showToast(toast: Omit<Toast, 'id' | 'tone'> & { tone?: Toast['tone']; duration?: number }): () => void {
  const { duration = TOAST_DURATION, tone = 'neutral', ...rest } = toast;
  const id = next++;
  shown.push({ ...rest, tone, id });
  if (shown.length > MAXIMUM_TOASTS) shown.shift();
  const remove = () => dismissToast(id);
  if (duration > 0) setTimeout(remove, duration);
  return remove;
}

export function dismissToast(id: number): void {
  const index = shown.findIndex((toast) => toast.id === id);
  if (index !== -1) shown.splice(index, 1);
}
