// What the board asks of the device: to keep its screen on, and to fill it.
import { settings } from './settings.svelte';

let full = $state(false);
let lock: WakeLockSentinel | undefined;
/** Whether the board follows the device. */
let following = false;
/** Whether the browser decides on a lock now, and whether the wish may have changed since. */
let deciding = false;
let changed = false;

export const device = {
  get fullScreen(): boolean {
    return full;
  },
};

/** Whether the browser offers what needs HTTPS: wake lock and service worker. */
export const secure = isSecureContext;
export const canStayAwake = 'wakeLock' in navigator;
export const canFillScreen = document.fullscreenEnabled;

/** Keeps the screen on, or lets it sleep, as the settings say. Call it on every change. */
export async function applyWakeLock(): Promise<void> {
  changed = true;
  if (!canStayAwake || deciding) return;
  deciding = true;
  // One request at a time, so that no lock is lost. Each round follows a change.
  while (changed) {
    changed = false;
    const wanted = following && settings.values.keepAwake && document.visibilityState === 'visible';
    const held = lock?.released === false;
    try {
      if (wanted && !held) lock = await navigator.wakeLock.request('screen');
      else if (!wanted && held) await lock?.release();
    } catch {
      // A low battery, for example: the browser decides.
    }
  }
  deciding = false;
}

export async function toggleFullScreen(): Promise<void> {
  try {
    if (document.fullscreenElement === null) await document.documentElement.requestFullscreen();
    else await document.exitFullscreen();
  } catch {
    // The browser refuses: the page stays as it is.
  }
}

/** Follows the device until the returned function is called. The browser releases a wake lock of a hidden page. */
export function followDevice(): () => void {
  const apply = () => void applyWakeLock();
  const resized = () => (full = document.fullscreenElement !== null);
  document.addEventListener('visibilitychange', apply);
  document.addEventListener('fullscreenchange', resized);
  following = true;
  // Also when another tab changes the setting.
  const stop = $effect.root(() => {
    $effect(() => {
      void settings.values.keepAwake;
      apply();
    });
  });
  return () => {
    document.removeEventListener('visibilitychange', apply);
    document.removeEventListener('fullscreenchange', resized);
    stop();
    following = false;
    apply();
  };
}
