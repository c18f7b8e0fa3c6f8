// Stands in for the session's operations while docs/reference/openapi.json does not describe them: it answers them itself,
// and gives the requests with its cookie the token of the account. Delete this file, and `pending` in `site.ts`, as soon as
// the description contains `/v1/session`: a test of `policy.spec.ts` fails until then.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Dabba, Role } from './dabba';

interface Kept {
  id: string;
  token: string;
  created: string;
  userAgent: string;
}

export class SessionStandIn {
  readonly #dabba: Dabba;
  readonly #sessions = new Map<string, Kept>();
  readonly #links = new Map<string, string>();

  constructor(dabba: Dabba) {
    this.#dabba = dabba;
  }

  createLink(role: Role): string {
    const link = crypto.randomUUID().replaceAll('-', '');
    this.#links.set(link, this.#dabba.tokens[role]);
    return link;
  }

  readonly intercept = async (request: IncomingMessage, response: ServerResponse): Promise<boolean> => {
    const path = new URL(request.url ?? '/', 'http://front').pathname;
    const cookie = /(?:^|; )dabba=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1];
    const session = cookie === undefined ? undefined : this.#sessions.get(cookie);
    if (session !== undefined && request.headers.authorization === undefined) {
      request.headers.authorization = `Bearer ${session.token}`;
    }
    const sessions = /^\/v1\/accounts\/[^/]+\/sessions(?:\/([^/]+))?$/.exec(path);
    if (path === '/v1/session') await this.#session(request, response, session, cookie);
    else if (sessions !== null) this.#list(response, session, sessions[1]);
    else return false;
    return true;
  };

  async #session(
    request: IncomingMessage,
    response: ServerResponse,
    session: Kept | undefined,
    cookie: string | undefined,
  ): Promise<void> {
    if (request.method === 'DELETE') {
      if (cookie !== undefined) this.#sessions.delete(cookie);
      response.writeHead(204, { 'set-cookie': 'dabba=; Max-Age=0; Path=/' }).end();
    } else if (request.method === 'POST') {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      await this.#create(JSON.parse(Buffer.concat(chunks).toString()) as Record<string, string>, request, response);
    } else if (session === undefined) {
      this.#refuse(response, 'unauthenticated');
    } else {
      await this.#answer(response, session, {});
    }
  }

  async #create(body: Record<string, string>, request: IncomingMessage, response: ServerResponse): Promise<void> {
    let token: string | undefined;
    if (body['link_token'] !== undefined) {
      token = this.#links.get(body['link_token']);
      this.#links.delete(body['link_token']);
    } else {
      token = await this.#dabba
        .call<{ access_token: string }>(undefined, 'POST', '/v1/tokens', body)
        .then((answer) => answer.access_token)
        .catch(() => undefined);
    }
    if (token === undefined) {
      this.#refuse(response, 'wrong_credentials');
      return;
    }
    const cookie = crypto.randomUUID();
    const userAgent = request.headers['user-agent'] ?? '';
    const session = { id: crypto.randomUUID(), token, created: new Date().toISOString(), userAgent };
    this.#sessions.set(cookie, session);
    await this.#answer(response, session, { 'set-cookie': `dabba=${cookie}; HttpOnly; SameSite=Strict; Path=/` });
  }

  async #answer(response: ServerResponse, session: Kept, headers: Record<string, string>): Promise<void> {
    const me = await fetch(`${this.#dabba.address}/v1/accounts/me`, {
      headers: { authorization: `Bearer ${session.token}` },
    });
    const { restaurants, ...account } = (await me.json()) as { restaurants: string[] };
    const named = [];
    for (const id of restaurants) {
      const { name } = await this.#dabba.call<{ name: string }>('admin', 'GET', `/v1/restaurants/${id}`);
      named.push({ id, name });
    }
    response.writeHead(200, { 'content-type': 'application/json', ...headers });
    response.end(
      JSON.stringify({
        id: session.id,
        account,
        restaurants: named,
        expires_at: new Date(Date.now() + 86_400_000).toISOString(),
        server: { version: '0.0.0', build: 'test', now: new Date().toISOString() },
      }),
    );
  }

  #list(response: ServerResponse, session: Kept | undefined, revoked: string | undefined): void {
    if (session === undefined) {
      this.#refuse(response, 'unauthenticated');
      return;
    }
    if (revoked !== undefined) {
      for (const [cookie, other] of this.#sessions) if (other.id === revoked) this.#sessions.delete(cookie);
      response.writeHead(204).end();
      return;
    }
    const own = [...this.#sessions.values()].filter((other) => other.token === session.token);
    const sessions = own.map((other) => ({
      id: other.id,
      created_at: other.created,
      expires_at: new Date(Date.now() + 86_400_000).toISOString(),
      user_agent: other.userAgent,
      current: other.id === session.id,
    }));
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ sessions }));
  }

  #refuse(response: ServerResponse, code: string): void {
    response.writeHead(401, { 'content-type': 'application/problem+json' });
    response.end(JSON.stringify({ code, title: 'Not signed in', status: 401 }));
  }
}
