// What the browser of a test talks to: serves the built pages with the headers that Dabba gives them, and passes the API's
// requests on to the real Dabba. A request that docs/reference/openapi.json does not describe is refused and recorded.
import { existsSync, readFileSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { extname, join, normalize, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDescribed } from './operations';

export const DIST = resolve(fileURLToPath(new URL('../..', import.meta.url)), process.env.DABBA_UI_OUT ?? 'dist');

export const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; " +
  "require-trusted-types-for 'script'; trusted-types svelte-trusted-html dabba 'allow-duplicates'";

const PAGES: [RegExp, string][] = [
  [/^\/$/, 'start'],
  [/^\/login$/, 'login'],
  [/^\/kitchen\/[^/]+$/, 'kitchen'],
  [/^\/t\/[^/]+$/, 'tracking'],
  [/^\/order\/[^/]+$/, 'order'],
  [/^\/console(\/.*)?$/, 'console'],
];

const TYPES: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
};

/** Handles a request itself and returns true, or leaves it to Dabba. */
export type Interceptor = (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>;

export class Front {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target: URL;
  /** Requests that the API's description does not contain. */
  readonly undescribed: string[] = [];
  /** The API's requests, as `METHOD /path`. */
  readonly requests: string[] = [];
  /** Number of the streams that browsers have open with Dabba. */
  streams = 0;
  /** Whether the network between browser and server works. */
  #up = true;
  intercept: Interceptor = () => false;
  /** Further files, by path: scripts that only tests use. */
  readonly files = new Map<string, { type: string; content: string }>();
  /** Text after the service worker's script, with which it counts as a new version. */
  serviceWorkerSuffix = '';
  /** Build of the service worker instead of its own: 16 hexadecimal digits. The worker of another build has another cache. */
  serviceWorkerBuild: string | undefined;

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer((request, response) => void this.#handle(request, response));
    this.#server.on('connection', (socket) => {
      if (!this.#up) socket.destroy();
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  static async start(target: string): Promise<Front> {
    if (!existsSync(join(DIST, 'login.html'))) throw new Error(`${DIST} has no pages: run npm run build`);
    const front = new Front(target);
    await new Promise<void>((done) => front.#server.listen(0, '127.0.0.1', done));
    return front;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Passes requests on to another server from now on. */
  set target(address: string) {
    this.#target = new URL(address);
  }

  /** Breaks every connection, and refuses new ones until `connect`. */
  disconnect(): void {
    this.#up = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  connect(): void {
    this.#up = true;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((done) => this.#server.close(() => done()));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? '/', 'http://front').pathname;
    try {
      if (!path.startsWith('/v1/')) {
        this.#serveFile(path, response);
        return;
      }
      this.requests.push(`${request.method} ${path}`);
      if (await this.intercept(request, response)) return;
      if (!isDescribed(request.method ?? 'GET', path)) {
        this.undescribed.push(`${request.method} ${path}`);
        response.writeHead(501).end();
        return;
      }
      this.#forward(request, response);
    } catch (error) {
      if (!response.headersSent) response.writeHead(500);
      response.end(String(error));
    }
  }

  #serveFile(path: string, response: ServerResponse): void {
    const further = this.files.get(path);
    if (further !== undefined) {
      response.writeHead(200, { 'content-type': further.type, 'content-security-policy': POLICY }).end(further.content);
      return;
    }
    const page = PAGES.find(([pattern]) => pattern.test(path))?.[1];
    const name = page === undefined ? normalize(path).replace(/^\/+/, '') : `${page}.html`;
    const file = join(DIST, name);
    if (!file.startsWith(DIST) || name === '' || !existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, {
      'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
      'content-security-policy': POLICY,
      'cross-origin-opener-policy': 'same-origin',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'cache-control': name.startsWith('assets/') ? 'public, max-age=31536000, immutable' : 'no-cache',
    });
    const content = readFileSync(file);
    response.end(name === 'sw.js' ? this.#serviceWorker(content.toString()) : content);
  }

  #serviceWorker(script: string): string {
    const build = this.serviceWorkerBuild;
    return (build === undefined ? script : script.replace(/\b[0-9a-f]{16}\b/, build)) + this.serviceWorkerSuffix;
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    const onward = httpRequest(
      {
        hostname: this.#target.hostname,
        port: this.#target.port,
        method: request.method,
        path: request.url,
        headers: request.headers,
      },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
        answer.on('error', () => response.destroy());
      },
    );
    onward.on('error', () => response.destroy());
    if (new URL(request.url ?? '/', 'http://front').pathname.endsWith('/stream')) {
      this.streams += 1;
      response.on('close', () => (this.streams -= 1));
    }
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  }
}
