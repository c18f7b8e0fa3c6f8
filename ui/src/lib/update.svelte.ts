// New versions of the pages: registers the service worker. The service worker and the server report that a new version is
// ready. A page offers the reload; it never reloads by itself, because orders may be ringing.

/** The policy of the pages admits this policy and Svelte's. It creates exactly one URL. */
const SERVICE_WORKER = '/sw.js';

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): {
    createScriptURL(url: string): string;
  };
}

let ready = $state(false);
let build: string | undefined;
let waiting: ServiceWorker | undefined;

export const update = {
  /** Whether a new version is ready. */
  get ready(): boolean {
    return ready;
  },
};

/** Compares the server's build with the first one that this page has seen. */
export function noteBuild(current: string): void {
  build ??= current;
  if (build !== current) ready = true;
}

function scriptUrl(): string {
  const factory = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  if (factory === undefined) return SERVICE_WORKER;
  const policy = factory.createPolicy('dabba', {
    createScriptURL(url) {
      if (url !== SERVICE_WORKER) throw new TypeError(`${url} is not a script of Dabba.`);
      return url;
    },
  });
  return policy.createScriptURL(SERVICE_WORKER);
}

/** Keeps this page for a reload without a network. Does nothing where the browser has no service workers. */
export async function registerServiceWorker(): Promise<void> {
  const container = navigator.serviceWorker as ServiceWorkerContainer | undefined;
  if (container === undefined) return;
  const registration = await container.register(scriptUrl(), { updateViaCache: 'none' }).catch(() => undefined);
  if (registration === undefined) return;
  offer(registration);
  registration.addEventListener('updatefound', () => {
    registration.installing?.addEventListener('statechange', () => offer(registration));
  });
  const active = (await container.ready).active;
  const files = performance.getEntriesByType('resource').map((entry) => entry.name);
  active?.postMessage({ kind: 'keep', urls: [location.pathname, ...files] });
}

function offer(registration: ServiceWorkerRegistration): void {
  // Without a controller, the worker is the first one: nothing is outdated.
  if (registration.waiting === null || navigator.serviceWorker.controller === null) return;
  waiting = registration.waiting;
  ready = true;
}

/** Reloads the page in the new version. Call it on a tap only. */
export function applyUpdate(): void {
  // If another tab has activated the worker already, no change of the controller follows.
  if (waiting?.state !== 'installed') {
    location.reload();
    return;
  }
  navigator.serviceWorker.addEventListener('controllerchange', () => location.reload(), { once: true });
  waiting.postMessage({ kind: 'activate' });
}
