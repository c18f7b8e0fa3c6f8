// Whether the session of this tab has ended. The page says so, and so does every dialog that sends: a dialog hides the page.
import { ApiError } from '../lib/api';

let ended = $state(false);
let leaving = false;

export const signIn = {
  get ended(): boolean {
    return ended;
  },
  set ended(value: boolean) {
    ended = value;
  },
  /** Whether the person leaves to sign in: commands without an answer are kept, so nothing warns of leaving. */
  get leaving(): boolean {
    return leaving;
  },
};

/** Notes that the person leaves the page to sign in. A second later the page warns again: the link may have opened
 * another tab. */
export function leaveToSignIn(): void {
  leaving = true;
  setTimeout(() => (leaving = false), 1000);
}

/** Whether a failure is the end of the session, which the page and its dialogs state themselves. */
export function isSignedOut(failure: unknown): boolean {
  return failure instanceof ApiError && failure.status === 401;
}
