// What the board asks of the device: to keep its screen on, and to fill it.
import { settings } from './settings.svelte';

let full = $state(false);
let lock: WakeLockSentinel | undefined;
/** Whether the board follows the device. */
let following = false;

export const device = {
  get fullScreen(): boolean {
    return full;
  },
};

/** Whether the browser offers what needs HTTPS: wake lock and service worker. */
export const secure = isSecureContext;
export const canStayAwake = 'wakeLock' in navigator;
export const canFillScreen = document.fullscreenEnabled;

/** Keeps the screen on, or lets it sleep, as the settings say. */
export async function applyWakeLock(): Promise<void> {
  if (!canStayAwake) return;
  try {
    if (!following || !settings.values.keepAwake) await lock?.release();
    else if (document.visibilityState === 'visible' && lock?.released !== false) {
      lock = await navigator.wakeLock.request('screen');
      // The board may have closed, or a person may have switched this off, while the browser decided.
      if (!following || !settings.values.keepAwake) await lock.release();
    }
  } catch {
    // A low battery, for example: the browser decides.
  }
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
  const shown = () => void applyWakeLock();
  const changed = () => (full = document.fullscreenElement !== null);
  document.addEventListener('visibilitychange', shown);
  document.addEventListener('fullscreenchange', changed);
  following = true;
  shown();
  return () => {
    document.removeEventListener('visibilitychange', shown);
    document.removeEventListener('fullscreenchange', changed);
    following = false;
    shown();
  };
}
