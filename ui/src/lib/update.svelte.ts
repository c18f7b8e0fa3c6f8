// New versions of the pages: registers the service worker. The service worker and the server report that a new version is
// ready. A page offers the reload; it never reloads by itself, because orders may be ringing.

/** The policy of the pages admits this policy and Svelte's. It creates exactly one URL. */
const SERVICE_WORKER = '/sw.js';
/** Maximum time for which a tap waits for the worker of the new version, in milliseconds. */
export const PATIENCE = 5_000;

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): {
    createScriptURL(url: string): string;
  };
}

let ready = $state(false);
let build: string | undefined;
let registration: ServiceWorkerRegistration | undefined;
let applying = false;

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
  const registered = await container.register(scriptUrl(), { updateViaCache: 'none' }).catch(() => undefined);
  if (registered === undefined) return;
  registration = registered;
  offer(registered);
  registered.addEventListener('updatefound', () => {
    registered.installing?.addEventListener('statechange', () => offer(registered));
  });
  const active = (await container.ready).active;
  const files = performance.getEntriesByType('resource').map((entry) => entry.name);
  active?.postMessage({ kind: 'keep', urls: [location.pathname, ...files] });
}

function offer({ waiting }: ServiceWorkerRegistration): void {
  // Without a controller, the worker is the first one: nothing is outdated.
  if (waiting !== null && navigator.serviceWorker.controller !== null) ready = true;
}

/** Reloads the page in the new version. Call it on a tap only. */
export async function applyUpdate(): Promise<void> {
  if (applying) return;
  applying = true;
  const activated = registration === undefined ? undefined : activate(registration).catch(() => undefined);
  await Promise.race([activated, new Promise((resolve) => setTimeout(resolve, PATIENCE))]);
  // The page may ask whether to leave, because commands are unsent. If the person stays, the next tap must reload.
  applying = false;
  location.reload();
}

/** Lets the worker of the new version take over. If it waited on, the next page would offer the same version again. */
async function activate(of: ServiceWorkerRegistration): Promise<void> {
  // The server may report a new version whose worker the browser does not know yet.
  if (of.waiting === null) await of.update();
  const { installing } = of;
  if (installing !== null) await once(installing, 'statechange');
  // If another tab has activated the worker already, no change of the controller follows.
  if (of.waiting === null) return;
  const changed = once(navigator.serviceWorker, 'controllerchange');
  of.waiting.postMessage({ kind: 'activate' });
  await changed;
}

function once(target: EventTarget, event: string): Promise<unknown> {
  return new Promise((resolve) => target.addEventListener(event, resolve, { once: true }));
}
