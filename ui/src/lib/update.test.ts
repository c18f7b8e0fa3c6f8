import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

/** A worker whose messages the test sees. */
class Worker extends EventTarget {
  readonly messages: unknown[] = [];
  postMessage(message: unknown): void {
    this.messages.push(message);
  }
}

class Registration extends EventTarget {
  waiting: Worker | null = null;
  installing: Worker | null = null;
  active = new Worker();
  readonly update = vi.fn(() => Promise.resolve());
}

let registration: Registration;
let container: EventTarget & { controller: object | null };
const reload = vi.fn();

/** Loads the module as a page does that a worker controls. */
async function page() {
  vi.resetModules();
  const module = await import('./update.svelte');
  await module.registerServiceWorker();
  return module;
}

/** What the browser does when the worker is to take over. */
async function takeOver(worker: Worker): Promise<void> {
  await vi.waitFor(() => expect(worker.messages).toEqual([{ kind: 'activate' }]));
  expect(reload).not.toHaveBeenCalled();
  registration.waiting = null;
  registration.active = worker;
  container.dispatchEvent(new Event('controllerchange'));
}

// The first import compiles, which takes time that no test has.
beforeAll(() => import('./update.svelte'));
beforeEach(() => {
  registration = new Registration();
  container = Object.assign(new EventTarget(), {
    controller: {},
    register: () => Promise.resolve(registration),
    ready: Promise.resolve(registration),
  });
  vi.stubGlobal('navigator', { serviceWorker: container });
  vi.stubGlobal('location', { pathname: '/', reload });
  reload.mockClear();
});
afterEach(() => vi.useRealTimers());

describe('a tap on the new version', () => {
  it('activates the worker that waits, and reloads then', async () => {
    const worker = (registration.waiting = new Worker());
    const { applyUpdate, update } = await page();
    expect(update.ready).toBe(true);
    const applied = applyUpdate();
    await takeOver(worker);
    await applied;
    expect(reload).toHaveBeenCalledOnce();
    expect(registration.update).not.toHaveBeenCalled();
  });

  it('waits for the worker of a version that only the server has reported', async () => {
    const { applyUpdate, noteBuild, update } = await page();
    noteBuild('1');
    noteBuild('2');
    expect(update.ready).toBe(true);
    const worker = new Worker();
    registration.update.mockImplementation(() => {
      registration.installing = worker;
      return Promise.resolve();
    });
    const applied = applyUpdate();
    // A second tap changes nothing.
    await applyUpdate();
    await vi.waitFor(() => expect(registration.update).toHaveBeenCalledOnce());
    await Promise.resolve();
    expect(reload).not.toHaveBeenCalled();
    Object.assign(registration, { installing: null, waiting: worker });
    worker.dispatchEvent(new Event('statechange'));
    await takeOver(worker);
    await applied;
    expect(reload).toHaveBeenCalledOnce();
  });

  it('reloads at once if there is no other worker, and without a network', async () => {
    const { applyUpdate } = await page();
    await applyUpdate();
    expect(reload).toHaveBeenCalledOnce();
    registration.update.mockImplementation(() => Promise.reject(new TypeError('no network')));
    await (await page()).applyUpdate();
    expect(reload).toHaveBeenCalledTimes(2);
  });

  it('reloads at the next tap if the person has stayed on the page', async () => {
    const worker = (registration.waiting = new Worker());
    const { applyUpdate } = await page();
    const applied = applyUpdate();
    await takeOver(worker);
    await applied;
    expect(reload).toHaveBeenCalledOnce();
    await applyUpdate();
    expect(reload).toHaveBeenCalledTimes(2);
  });

  it('reloads after a few seconds if the worker does not take over', async () => {
    registration.waiting = new Worker();
    const { applyUpdate, PATIENCE } = await page();
    vi.useFakeTimers();
    void applyUpdate();
    await vi.advanceTimersByTimeAsync(PATIENCE - 1);
    expect(reload).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(reload).toHaveBeenCalledOnce();
  });
});
