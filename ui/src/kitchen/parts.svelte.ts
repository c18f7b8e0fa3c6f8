// The parts of `later.ts`. A new version of the server does not have the script of the old one, so the page asks for it at
// once, and not when the user needs it.
type Parts = typeof import('./later');

let loaded = $state.raw<Parts>();
let loading: Promise<Parts> | undefined;

export const parts = {
  get loaded(): Parts | undefined {
    return loaded;
  },
};

/** Loads the parts, once. A failure can be repeated. */
export function loadParts(): Promise<Parts> {
  loading ??= import('./later').then(
    (module) => (loaded = module),
    (cause: unknown) => {
      loading = undefined;
      throw cause;
    },
  );
  return loading;
}
