import { beforeEach, describe, expect, it } from 'vitest';
import { Orders } from '../../tests/mock/orders';
import { ringPlan, Ringer, samples, SILENT, SOUNDS, STALE_GRACE, type SoundName } from './ring';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const waiting = (left: number, due = false) => ({
  ...new Orders().make(NOW),
  acceptance_deadline: new Date(NOW + left).toISOString(),
  ...(due ? { acceptance_due: true } : {}),
});

describe('the plan', () => {
  it('is silent without unanswered orders', () => {
    expect(ringPlan([], 480, true)).toEqual(SILENT);
  });

  it('rings until no order is unanswered, with the warning of the most urgent one', () => {
    const plan = ringPlan([waiting(400_000), waiting(300_000)], 480, true);
    expect(plan).toEqual({ ringing: true, warnAt: NOW + 180_000, until: undefined });
    expect(ringPlan([waiting(400_000), waiting(300_000, true)], 480, true).warnAt).toBe(0);
  });

  it('ends after the last deadline if nobody knows whether the orders are still there', () => {
    expect(ringPlan([waiting(400_000), waiting(300_000)], 480, false).until).toBe(NOW + 400_000 + STALE_GRACE);
  });
});

describe('the sounds', () => {
  it.each(Object.keys(SOUNDS) as SoundName[])('%s is loud, is not clipped, and loops without a click', (name) => {
    const wave = samples(name, 8_000);
    expect(wave.length).toBe(Math.ceil(SOUNDS[name].length * 8_000));
    const peak = wave.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(peak).toBeGreaterThan(0.4);
    expect(peak).toBeLessThanOrEqual(1);
    expect(Math.abs(wave[0] ?? 1)).toBeLessThan(0.01);
    expect(Math.abs(wave.at(-1) ?? 1)).toBeLessThan(0.01);
  });
});

interface Source {
  loop: boolean;
  seconds: number;
  from: number;
  to: number | undefined;
  stopped: boolean;
}

/** An audio context whose clock the test moves. */
class Audio extends EventTarget {
  state = 'suspended';
  currentTime = 10;
  sampleRate = 8_000;
  destination = {};
  sources: Source[] = [];
  createGain() {
    return { gain: { setValueAtTime: () => undefined }, connect: () => undefined };
  }
  createBuffer(_channels: number, length: number, rate: number) {
    return { seconds: length / rate, copyToChannel: () => undefined };
  }
  createBufferSource() {
    const source: Source = { loop: false, seconds: 0, from: -1, to: undefined, stopped: false };
    this.sources.push(source);
    const clock = () => this.currentTime;
    return {
      set buffer(buffer: { seconds: number }) {
        source.seconds = buffer.seconds;
      },
      set loop(loop: boolean) {
        source.loop = loop;
      },
      connect: () => undefined,
      disconnect: () => undefined,
      start: (when: number) => (source.from = when),
      stop(when?: number) {
        if (when === undefined || when <= clock()) source.stopped = true;
        else source.to = when;
      },
    };
  }
  resume() {
    this.state = 'running';
    this.dispatchEvent(new Event('statechange'));
    return Promise.resolve();
  }
  close() {
    return Promise.resolve();
  }
  playing() {
    return this.sources.filter((source) => !source.stopped);
  }
}

describe('the ringer', () => {
  let audio: Audio;
  let now: number;
  let locks: boolean[];
  let ringer: Ringer;
  beforeEach(() => {
    audio = new Audio();
    now = NOW;
    locks = [];
    ringer = new Ringer({ create: () => audio as unknown as AudioContext, now: () => now, onLocked: (locked) => locks.push(locked) });
  });

  it('is locked until the user touches the page, and rings then', async () => {
    ringer.follow(ringPlan([waiting(400_000)], 480, true));
    expect(locks).toEqual([true]);
    expect(audio.playing()).toEqual([]);
    await ringer.unlock();
    expect(locks).toEqual([true, false]);
    expect(audio.playing().length).toBe(2);
  });

  it('schedules the warning ahead, so that no timer has to run', async () => {
    await ringer.unlock();
    ringer.follow(ringPlan([waiting(400_000)], 480, true));
    const [ring, warning] = audio.playing();
    expect(ring).toMatchObject({ loop: true, from: 10, to: 290 });
    expect(warning).toMatchObject({ loop: true, from: 290, to: undefined });
  });

  it('does not begin again for another order that changes nothing', async () => {
    await ringer.unlock();
    ringer.follow(ringPlan([waiting(400_000)], 480, true));
    now += 5_000;
    ringer.follow(ringPlan([waiting(400_000), waiting(470_000)], 480, true));
    expect(audio.sources.length).toBe(2);
    ringer.follow(ringPlan([waiting(300_000)], 480, true));
    expect(audio.playing().length).toBe(2);
    expect(audio.sources.length).toBe(4);
  });

  it('plays only the warning once it is time, and nothing once all is answered', async () => {
    await ringer.unlock();
    ringer.follow(ringPlan([waiting(60_000)], 480, true));
    expect(audio.playing()).toMatchObject([{ from: 10, seconds: SOUNDS.warning.length }]);
    ringer.follow(SILENT);
    expect(audio.playing()).toEqual([]);
    expect(ringer.ringing).toBe(false);
  });

  it('ends by itself when the connection is lost and the deadline is over', async () => {
    await ringer.unlock();
    ringer.follow(ringPlan([waiting(60_000)], 480, false));
    expect(audio.playing()[0]?.to).toBe(10 + 60 + STALE_GRACE / 1_000);
    now += 600_000;
    ringer.follow(SILENT);
    ringer.follow(ringPlan([waiting(60_000)], 480, false));
    expect(audio.playing()).toEqual([]);
  });

  it('schedules anew when the browser locks the sound and unlocks it again', async () => {
    await ringer.unlock();
    ringer.follow(ringPlan([waiting(400_000)], 480, true));
    audio.state = 'suspended';
    audio.dispatchEvent(new Event('statechange'));
    expect(locks.at(-1)).toBe(true);
    now += 100_000;
    await ringer.unlock();
    expect(audio.playing().find((source) => source.to !== undefined)?.to).toBe(190);
  });

  it('tests both sounds once, without a loop', async () => {
    await ringer.unlock();
    ringer.test();
    expect(audio.playing()).toMatchObject([
      { loop: false, from: 10 },
      { loop: false, from: 10 + SOUNDS.ring.length },
    ]);
  });

  it('says that a browser without sound stays locked', () => {
    const silent = new Ringer({ create: () => undefined, now: () => now, onLocked: (locked) => locks.push(locked) });
    silent.follow(ringPlan([waiting(400_000)], 480, true));
    expect(silent.available).toBe(false);
    expect(silent.locked).toBe(true);
  });
});
