// The operations of docs/reference/openapi.json. The pages use nothing else, so that each page proves that the public API
// is complete.
import { readFileSync } from 'node:fs';

interface Description {
  paths: Record<string, Record<string, unknown>>;
}

const description = JSON.parse(
  readFileSync(process.env.DABBA_OPENAPI ?? new URL('../../../docs/reference/openapi.json', import.meta.url), 'utf8'),
) as Description;

const METHODS = ['get', 'put', 'post', 'patch', 'delete'];

const operations = Object.entries(description.paths).flatMap(([path, item]) => {
  const pattern = new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{\w+\}/g, '[^/]+')}$`);
  return METHODS.filter((method) => method in item).map((method) => ({ method: method.toUpperCase(), pattern }));
});

/** Whether the description contains the operation. */
export function isDescribed(method: string, path: string): boolean {
  return operations.some((operation) => operation.method === method && operation.pattern.test(path));
}

/** Whether the description contains a path, such as `/v1/session`. */
export function describes(path: string): boolean {
  return path in description.paths;
}
