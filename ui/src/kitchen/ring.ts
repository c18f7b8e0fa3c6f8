// Ringing. Two sounds loop: the ring while orders wait for an answer, and the warning once one of them is about to
// expire. Web Audio plays loops and scheduled starts on its own thread, so that a throttled or busy page does not silence
// them: the page only says when each sound begins and ends.
import { warningAt, targetOf } from './countdown';
import type { BoardOrder } from './types';

/** Time after the last deadline until which a board without a connection rings, in milliseconds. */
export const STALE_GRACE = 30_000;
/** Difference of two plans that is not worth a change, in milliseconds. */
const TOLERANCE = 250;

/** When to ring, in the server's time. */
export interface RingPlan {
  ringing: boolean;
  /** The warning replaces the ring from this time. */
  warnAt: number | undefined;
  /** Without a connection nobody knows whether the orders are still unaccepted: end of the ringing. */
  until: number | undefined;
}

export const SILENT: RingPlan = { ringing: false, warnAt: undefined, until: undefined };

/** Returns the plan for the orders that nobody has answered. */
export function ringPlan(unanswered: readonly BoardOrder[], acceptanceSeconds: number, live: boolean): RingPlan {
  if (unanswered.length === 0) return SILENT;
  const warnings = unanswered.map((order) =>
    order.acceptance_due === true ? 0 : (warningAt(order, acceptanceSeconds) ?? Infinity),
  );
  const warnAt = Math.min(...warnings);
  const deadlines = unanswered.map((order) => targetOf(order) ?? Infinity);
  const until = live ? Infinity : Math.max(...deadlines) + STALE_GRACE;
  return {
    ringing: true,
    warnAt: Number.isFinite(warnAt) ? warnAt : undefined,
    until: Number.isFinite(until) ? until : undefined,
  };
}

export interface Tone {
  /** Frequencies in hertz that sound together. */
  frequencies: number[];
  start: number;
  length: number;
}

/** The sounds: their tones, and the length of one round, in seconds. */
export const SOUNDS = {
  ring: {
    length: 2.6,
    tones: [
      { frequencies: [880, 1760], start: 0, length: 0.5 },
      { frequencies: [1109, 2218], start: 0.28, length: 0.6 },
      { frequencies: [880, 1760], start: 0.85, length: 0.5 },
      { frequencies: [1109, 2218], start: 1.13, length: 0.7 },
    ],
  },
  warning: {
    length: 1.2,
    tones: [
      { frequencies: [1319, 2637], start: 0, length: 0.22 },
      { frequencies: [988, 1976], start: 0.2, length: 0.22 },
      { frequencies: [1319, 2637], start: 0.4, length: 0.22 },
      { frequencies: [988, 1976], start: 0.6, length: 0.3 },
    ],
  },
} satisfies Record<string, { length: number; tones: Tone[] }>;

export type SoundName = keyof typeof SOUNDS;

/** Returns the samples of one round of a sound, between -1 and 1. */
export function samples(name: SoundName, rate: number): Float32Array<ArrayBuffer> {
  const { length, tones } = SOUNDS[name];
  const wave = new Float32Array(Math.ceil(length * rate));
  for (const tone of tones) {
    const first = Math.floor(tone.start * rate);
    const count = Math.min(Math.floor(tone.length * rate), wave.length - first);
    for (let index = 0; index < count; index += 1) {
      const time = index / rate;
      // A bell: a steep attack, and a decay that ends at zero, so that nothing clicks.
      const envelope = Math.min(1, time / 0.008) * Math.exp((-4 * time) / tone.length) * (1 - index / count);
      const sum = tone.frequencies.reduce((total, hertz) => total + Math.sin(2 * Math.PI * hertz * time), 0);
      wave[first + index] = (wave[first + index] ?? 0) + (0.6 * envelope * sum) / tone.frequencies.length;
    }
  }
  return wave;
}

export interface RingerOptions {
  /** Creates the audio context; throws or returns `undefined` where the browser has none. */
  create: () => AudioContext | undefined;
  /** The server's time in milliseconds. */
  now: () => number;
  /** Called when the browser locks or unlocks the sound. */
  onLocked: (locked: boolean) => void;
}

export class Ringer {
  readonly #options: RingerOptions;
  readonly #context: AudioContext | undefined;
  readonly #gain: GainNode | undefined;
  readonly #buffers = new Map<SoundName, AudioBuffer>();
  #playing: AudioBufferSourceNode[] = [];
  #test: AudioBufferSourceNode[] = [];
  #plan: RingPlan = SILENT;
  #closed = false;

  constructor(options: RingerOptions) {
    this.#options = options;
    this.#context = options.create();
    this.#gain = this.#context?.createGain();
    if (this.#context !== undefined) this.#gain?.connect(this.#context.destination);
    this.#context?.addEventListener('statechange', () => this.#stateChanged());
    options.onLocked(this.locked);
  }

  /** Whether the browser plays no sound until the user touches the page. */
  get locked(): boolean {
    return this.#context === undefined || this.#context.state !== 'running';
  }

  /** Whether the browser can play sounds at all. */
  get available(): boolean {
    return this.#context !== undefined;
  }

  /** Whether a sound plays now. */
  get ringing(): boolean {
    return this.#plan.ringing && !this.locked;
  }

  set volume(volume: number) {
    this.#gain?.gain.setValueAtTime(volume, this.#context?.currentTime ?? 0);
  }

  /** Asks the browser to play. Call it in the handler of a touch or a key. */
  async unlock(): Promise<void> {
    if (this.#context === undefined || this.#closed || this.#context.state === 'running') return;
    await this.#context.resume().catch(() => undefined);
  }

  /** Rings as planned. A plan that says the same as before does not restart the sound. */
  follow(plan: RingPlan): void {
    if (samePlan(plan, this.#plan, this.#options.now())) return;
    this.#plan = plan;
    this.#schedule();
  }

  /** Plays both sounds once. Returns how long they take, in milliseconds. */
  test(): number {
    stopAll(this.#test);
    const start = this.#context?.currentTime ?? 0;
    const second = start + SOUNDS.ring.length;
    this.#test = [
      this.#start('ring', start, second, false),
      this.#start('warning', second, second + SOUNDS.warning.length, false),
    ].filter((source) => source !== undefined);
    return (SOUNDS.ring.length + SOUNDS.warning.length) * 1_000;
  }

  close(): void {
    this.#closed = true;
    stopAll(this.#playing);
    stopAll(this.#test);
    void this.#context?.close().catch(() => undefined);
  }

  #stateChanged(): void {
    if (this.#closed) return;
    // The context's clock stood still while it was locked, so the scheduled times are wrong.
    if (!this.locked) this.#schedule();
    this.#options.onLocked(this.locked);
  }

  #schedule(): void {
    stopAll(this.#playing);
    this.#playing = [];
    const context = this.#context;
    const { ringing, warnAt, until } = this.#plan;
    if (context === undefined || !ringing || this.locked) return;
    const now = this.#options.now();
    const at = (time: number) => context.currentTime + Math.max(0, time - now) / 1_000;
    const end = until === undefined ? undefined : at(until);
    if (until !== undefined && until <= now) return;
    const warning = warnAt === undefined ? undefined : at(warnAt);
    const sources: (AudioBufferSourceNode | undefined)[] = [];
    if (warnAt === undefined || warnAt > now) {
      sources.push(this.#start('ring', context.currentTime, earlier(warning, end), true));
    }
    if (warning !== undefined && (end === undefined || warning < end)) {
      sources.push(this.#start('warning', warning, end, true));
    }
    this.#playing = sources.filter((source) => source !== undefined);
  }

  #start(name: SoundName, start: number, stop: number | undefined, loop: boolean): AudioBufferSourceNode | undefined {
    const context = this.#context;
    if (context === undefined || this.#gain === undefined) return undefined;
    const source = context.createBufferSource();
    source.buffer = this.#buffer(context, name);
    source.loop = loop;
    source.connect(this.#gain);
    source.start(start);
    if (stop !== undefined) source.stop(stop);
    return source;
  }

  #buffer(context: AudioContext, name: SoundName): AudioBuffer {
    const known = this.#buffers.get(name);
    if (known !== undefined) return known;
    const wave = samples(name, context.sampleRate);
    const buffer = context.createBuffer(1, wave.length, context.sampleRate);
    buffer.copyToChannel(wave, 0);
    this.#buffers.set(name, buffer);
    return buffer;
  }
}

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}

function stopAll(sources: AudioBufferSourceNode[]): void {
  for (const source of sources) {
    source.stop();
    source.disconnect();
  }
}

function samePlan(a: RingPlan, b: RingPlan, now: number): boolean {
  if (a.ringing !== b.ringing) return false;
  // A warning that has begun is the same warning, whenever it began.
  const same = (x: number | undefined, y: number | undefined) =>
    x === y || (x !== undefined && y !== undefined && Math.abs(Math.max(x, now) - Math.max(y, now)) < TOLERANCE);
  return same(a.warnAt, b.warnAt) && same(a.until, b.until);
}

/** Returns what plays the sound; `undefined` if the browser cannot play any. */
export function createAudio(): AudioContext | undefined {
  try {
    return new AudioContext({ latencyHint: 'playback' });
  } catch {
    return undefined;
  }
}
