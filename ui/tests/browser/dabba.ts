// Starts the real Dabba with its demo, in a directory of its own.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export type Role = 'customer' | 'restaurant' | 'courier' | 'admin';

/** What `dabba serve --demo --json` prints. */
export interface Demo {
  address: string;
  restaurant_id: string;
  courier_id: string;
  tokens: Record<Role, string>;
  login_links: Record<'kitchen' | 'console' | 'ordering', string>;
  order: Record<string, unknown>;
}

export interface Dabba extends Demo {
  /** Directory of the data and of the keys. */
  directory: string;
  /** Sends a request with a role's token, and returns the body of the answer. Fails unless the answer is a 2xx. */
  call<T = unknown>(role: Role | undefined, method: string, path: string, body?: unknown): Promise<T>;
  /** Places an order of the demo's customer, which the restaurant has to accept. */
  placeOrder(changes?: Record<string, unknown>): Promise<{ id: string; version: number }>;
  /** Stops the process without ending it, and lets it continue. */
  pause(): void;
  resume(): void;
  /** Kills the process, as a crash would. */
  kill(): Promise<void>;
  /** Starts the process again, on the same data and port. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Maximum duration of the start of a server, in milliseconds. */
const START_TIMEOUT = 30_000;

const BINARY = resolve(
  process.env.DABBA_BIN ?? fileURLToPath(new URL('../../../target/debug/dabba', import.meta.url)),
);

export interface DabbaOptions {
  /** URL of a PostgreSQL database; without it, the server has the embedded store and a clock that tests advance. */
  database?: string;
  /** Another server on the same database: this one shares its keys, so that both accept the same tokens. */
  beside?: Dabba;
  /** Further arguments of `dabba serve`. */
  settings?: string[];
}

async function launch(
  directory: string,
  listen: string,
  { database, settings = [] }: DabbaOptions,
): Promise<{ process: ChildProcess; demo: Demo }> {
  const store = database === undefined ? ['--sandbox'] : ['--database', database];
  const parameters = ['serve', '--demo', ...store, '--json', '--listen', listen, '--data', join(directory, 'data'), ...settings];
  const child = spawn(BINARY, parameters, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-20_000);
  });
  const line = await new Promise<string>((done, fail) => {
    const timer = setTimeout(() => fail(new Error(`${BINARY} did not start in time:\n${log}`)), START_TIMEOUT);
    createInterface({ input: child.stdout }).once('line', (text) => {
      clearTimeout(timer);
      done(text);
    });
    child.once('error', fail);
    child.once('exit', (code) => fail(new Error(`${BINARY} ended with ${code}:\n${log}`)));
  });
  return { process: child, demo: JSON.parse(line) as Demo };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await new Promise<void>((done) => {
    child.once('exit', () => done());
    child.kill(signal);
  });
}

export async function startDabba(options: DabbaOptions = {}): Promise<Dabba> {
  const { beside } = options;
  const directory = beside?.directory ?? mkdtempSync(join(tmpdir(), 'dabba-ui-'));
  let { process: child, demo } = await launch(directory, '127.0.0.1:0', options);
  const { host } = new URL(demo.address);

  async function call<T>(role: Role | undefined, method: string, path: string, body?: unknown): Promise<T> {
    const headers: Record<string, string> = { 'idempotency-key': crypto.randomUUID() };
    if (role !== undefined) headers['authorization'] = `Bearer ${demo.tokens[role]}`;
    if (body !== undefined) headers['content-type'] = 'application/json';
    const init: RequestInit = { method, headers, signal: AbortSignal.timeout(15_000) };
    if (body !== undefined) init.body = JSON.stringify(body);
    const response = await fetch(demo.address + path, init);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  return {
    ...demo,
    directory,
    call,
    placeOrder: (changes = {}) =>
      call('customer', 'POST', `/v1/restaurants/${demo.restaurant_id}/orders`, { ...demo.order, ...changes }),
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    kill: () => end(child, 'SIGKILL'),
    async restart() {
      await end(child, 'SIGKILL');
      ({ process: child, demo } = await launch(directory, host, options));
    },
    async stop() {
      await end(child, 'SIGTERM');
      if (beside === undefined) rmSync(directory, { recursive: true, force: true });
    },
  };
}
