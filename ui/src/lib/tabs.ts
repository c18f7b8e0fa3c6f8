// One stream for all tabs of a browser: the leader receives it and passes every message on to the other tabs.
//
// A Web Lock elects the leader; when the leader closes, the next tab takes over and connects. A leader in the background
// may be throttled, so a visible tab that receives nothing for 25 s steals the lock. A leader without messages of the server
// reports its state instead, so that no tab takes a server that is down for a leader that stands still. A browser without
// Web Locks gets a stream per tab.
import { ApiError } from './api/error';
import { type EventStream, openEventStream, SILENCE_LIMIT, CHECK_INTERVAL, SUSPENSION, type StreamState } from './sse';
import type { StreamEvent } from './sse-parser';
import { uuid } from './random';
import { forgetSession } from './session.svelte';
import { browserTimers } from './timers';

/** Silence of the server after which the leader shows the other tabs that it is there, in milliseconds. */
const SIGN_INTERVAL = 10_000;

export interface SharedStreamOptions {
  /** Identifies the stream and the account: tabs with the same name share it. */
  name: string;
  /** Address of the stream; a function is called for each connection. */
  url: string | (() => string);
  onMessage: (event: StreamEvent) => void;
  onState: (state: StreamState) => void;
  /** Called before the first message of a connection, also when another tab connects: the state begins anew. */
  onConnect?: () => void;
  /**
   * Returns messages that bring a tab to this tab's state, such as one `snapshot`; `undefined` while a part of this state is
   * missing. Called in the leader.
   */
  replay: () => StreamEvent[] | undefined;
}

type Notice =
  | { kind: 'hello'; from: string }
  | { kind: 'replay'; to: string; events: StreamEvent[]; status: Shared }
  | { kind: 'message'; event: StreamEvent }
  | { kind: 'connect' }
  | { kind: 'state'; status: Shared }
  | { kind: 'reconnect' };
/** A state without monotonic times, which differ between tabs; `age` is the time since the last message. */
type Shared =
  | { status: Exclude<StreamState['status'], 'ended'>; age: number | undefined }
  | { status: 'ended'; code: number; problem: ApiError['problem'] };

export interface SharedStream {
  /** Reconnects, for example after a checksum that does not match. */
  reconnect(): void;
  close(): void;
  readonly leader: boolean;
}

/** Opens the stream of `name`, or joins the tab that has it. */
export function openSharedStream(given: SharedStreamOptions): SharedStream {
  const options: SharedStreamOptions = {
    ...given,
    onState(state) {
      if (state.status === 'ended' && state.error.status === 401) forgetSession();
      given.onState(state);
    },
  };
  const locks = navigator.locks as LockManager | undefined;
  if (locks === undefined) {
    const stream = openEventStream(options);
    return { reconnect: () => stream.reconnect(), close: () => stream.close(), leader: true };
  }
  return new Member(options, locks);
}

class Member implements SharedStream {
  readonly #options: SharedStreamOptions;
  readonly #locks: LockManager;
  readonly #channel: BroadcastChannel;
  readonly #id = uuid();
  #closed = false;
  #candidacy: AbortController | undefined;
  #stream: EventStream | undefined;
  #resign: (() => void) | undefined;
  /** What the page shows. */
  #shown: StreamState = { status: 'connecting' };
  /** Time of the last message, from the server or from the leader. */
  #lastHeard = browserTimers.monotonic();
  /** Time at which this tab began to wait for the leader's next sign of life; in the leader, time of its last one. */
  #quietSince = this.#lastHeard;
  #lastCheck = this.#lastHeard;
  #excused = false;
  #synchronized = false;
  /** In the leader: the tabs that wait until it has a whole state. */
  readonly #joining = new Set<string>();
  #cancelCheck: () => void;

  constructor(options: SharedStreamOptions, locks: LockManager) {
    this.#options = options;
    this.#locks = locks;
    this.#channel = new BroadcastChannel(`dabba-stream-${options.name}`);
    this.#channel.onmessage = (event: MessageEvent<Notice>) => this.#hear(event.data);
    this.#candidate(false);
    this.#post({ kind: 'hello', from: this.#id });
    this.#cancelCheck = browserTimers.after(CHECK_INTERVAL, () => this.#check());
  }

  get leader(): boolean {
    return this.#stream !== undefined;
  }

  reconnect(): void {
    if (this.#stream === undefined) this.#post({ kind: 'reconnect' });
    else this.#stream.reconnect();
  }

  close(): void {
    this.#cancelCheck();
    this.#closed = true;
    this.#candidacy?.abort();
    this.#stepDown();
    this.#channel.close();
  }

  #post(notice: Notice): void {
    this.#channel.postMessage(notice);
  }

  /** Waits for the lock, or steals it. Holds it until this tab closes, or until another tab steals it. */
  #candidate(steal: boolean): void {
    this.#candidacy?.abort();
    const candidacy = new AbortController();
    this.#candidacy = candidacy;
    const lock: LockOptions = steal ? { steal } : { signal: candidacy.signal };
    this.#locks
      .request(`dabba-stream-${this.#options.name}`, lock, () => {
        if (candidacy.signal.aborted) return undefined;
        this.#lead();
        return new Promise<void>((resolve) => {
          this.#resign = resolve;
        });
      })
      .catch(() => {
        // Another tab stole the lock, or this candidacy has ended.
        if (this.#closed || candidacy.signal.aborted) return;
        this.#stepDown();
        this.#candidate(false);
        // As the leader, this tab ignored the messages of the new leader.
        this.#quietSince = browserTimers.monotonic();
        this.#synchronized = false;
        this.#post({ kind: 'hello', from: this.#id });
      });
  }

  #lead(): void {
    const { onMessage, onConnect, url } = this.#options;
    if (this.#shown.status === 'ended') this.#show({ status: 'connecting' });
    const initial = { state: this.#shown, lastMessage: this.#lastHeard };
    this.#stream = openEventStream({
      url,
      ...(this.#shown.status === 'connecting' ? {} : { initial }),
      onConnect: () => {
        this.#post({ kind: 'connect' });
        onConnect?.();
      },
      onMessage: (event) => {
        this.#heard();
        this.#synchronized = true;
        onMessage(event);
        this.#post({ kind: 'message', event });
        for (const tab of this.#joining) this.#replay(tab);
      },
      onState: (state) => {
        this.#show(state);
        this.#post({ kind: 'state', status: this.#shared(state) });
      },
    });
  }

  /** Brings a tab to this tab's state. While a part is missing, the tab learns only the state of the stream. */
  #replay(tab: string): void {
    if (this.#stream === undefined) return;
    const status = this.#shared(this.#stream.state);
    const events = this.#options.replay();
    if (events === undefined) {
      if (!this.#joining.has(tab)) this.#post({ kind: 'state', status });
      this.#joining.add(tab);
    } else {
      this.#joining.delete(tab);
      this.#post({ kind: 'replay', to: tab, events, status });
    }
  }

  #stepDown(): void {
    this.#joining.clear();
    this.#stream?.close();
    this.#stream = undefined;
    this.#resign?.();
    this.#resign = undefined;
  }

  #show(state: StreamState): void {
    this.#shown = state;
    this.#options.onState(state);
  }

  #heard(): void {
    this.#lastHeard = browserTimers.monotonic();
    this.#quietSince = this.#lastHeard;
    this.#excused = false;
  }

  #shared(state: StreamState): Shared {
    if (state.status === 'ended') return { status: 'ended', code: state.error.status, problem: state.error.problem };
    const since = 'since' in state ? state.since : undefined;
    return { status: state.status, age: since === undefined ? undefined : browserTimers.monotonic() - since };
  }

  #hear(notice: Notice): void {
    if (this.#stream !== undefined) {
      if (notice.kind === 'reconnect') this.#stream.reconnect();
      if (notice.kind === 'hello') this.#replay(notice.from);
      return;
    }
    if (notice.kind === 'connect') {
      this.#synchronized = true;
      this.#options.onConnect?.();
    } else if (notice.kind === 'message' && this.#synchronized) {
      // A tab that has no snapshot yet must not apply changes.
      this.#heard();
      this.#options.onMessage(notice.event);
      if (this.#shown.status !== 'live') this.#show({ status: 'live' });
    } else if (notice.kind === 'replay' && notice.to === this.#id) {
      this.#heard();
      this.#synchronized = true;
      this.#options.onConnect?.();
      for (const event of notice.events) this.#options.onMessage(event);
      this.#follow(notice.status);
    } else if (notice.kind === 'state') {
      this.#quietSince = browserTimers.monotonic();
      // A tab that has no snapshot yet is not live.
      if (this.#synchronized || notice.status.status !== 'live') this.#follow(notice.status);
    }
  }

  #follow(shared: Shared): void {
    // The leader repeats its state.
    if (shared.status === this.#shown.status && shared.status !== 'ended') return;
    const now = browserTimers.monotonic();
    if (shared.status === 'ended') {
      this.#show({ status: 'ended', error: new ApiError(shared.code, shared.problem) });
    } else if (shared.status === 'stale') {
      this.#show({ status: 'stale', since: now - (shared.age ?? 0) });
    } else if (shared.status === 'offline') {
      const since = shared.age === undefined ? undefined : now - shared.age;
      this.#show({ status: 'offline', since });
    } else this.#show({ status: shared.status });
  }

  /** Takes the lead of a silent leader, as `EventStream` reconnects a silent connection. */
  #check(): void {
    this.#cancelCheck = browserTimers.after(CHECK_INTERVAL, () => this.#check());
    const now = browserTimers.monotonic();
    if (this.#stream !== undefined && this.#shown.status !== 'ended' && now - this.#quietSince >= SIGN_INTERVAL) {
      this.#quietSince = now;
      this.#post({ kind: 'state', status: this.#shared(this.#stream.state) });
    }
    const suspended = now - this.#lastCheck > CHECK_INTERVAL + SUSPENSION;
    this.#lastCheck = now;
    if (suspended && !this.#excused) {
      this.#excused = true;
      return;
    }
    // A leader whose stream has ended says nothing more, and another leader would hear the same refusal.
    if (this.#stream !== undefined || this.#shown.status === 'ended') return;
    if (now - this.#lastHeard >= SILENCE_LIMIT && this.#shown.status === 'live') {
      this.#show({ status: 'stale', since: this.#lastHeard });
    }
    if (now - this.#quietSince >= SILENCE_LIMIT && document.visibilityState === 'visible') {
      this.#quietSince = now;
      this.#candidate(true);
    }
  }
}
