// A disposable PostgreSQL cluster, as crates/pg-cluster starts them for the tests in Rust.
import { spawn, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = '/usr/lib/postgresql';
/** Maximum duration of the start, in milliseconds. */
const START_TIMEOUT = 30_000;
/** User that Debian's packages create: PostgreSQL refuses to run as root. */
const USER = 'postgres';

export interface Cluster {
  /** URL of an empty database. */
  url: string;
  /** Loses every notification from now on, and so every hint between servers. */
  loseNotifications(): void;
  stop(): Promise<void>;
}

/** Directory of the programs of the newest version. */
function programs(): string {
  const versions = existsSync(ROOT) ? readdirSync(ROOT).sort((a, b) => Number(b) - Number(a)) : [];
  const found = versions.map((version) => join(ROOT, version, 'bin')).find((bin) => existsSync(join(bin, 'initdb')));
  if (found === undefined) throw new Error(`${ROOT} has no PostgreSQL; on Debian: sudo apt-get install postgresql`);
  return found;
}

function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => done(port));
    });
  });
}

/** Number of a user or of its group, from the system's list. */
function idOf(user: string, field: 'user' | 'group'): number {
  const [id = ''] = [spawnSync('id', [field === 'user' ? '-u' : '-g', user]).stdout.toString().trim()];
  if (!/^\d+$/.test(id)) throw new Error(`There is no user ${user}; Debian's package postgresql creates it`);
  return Number(id);
}

export async function startCluster(): Promise<Cluster> {
  const bin = programs();
  const directory = mkdtempSync(join(tmpdir(), 'dabba-ui-pg-'));
  const identity: { uid?: number; gid?: number } = {};
  if (process.getuid?.() === 0) {
    Object.assign(identity, { uid: idOf(USER, 'user'), gid: idOf(USER, 'group') });
    chownSync(directory, idOf(USER, 'user'), idOf(USER, 'group'));
  }
  const data = join(directory, 'data');
  const created = spawnSync(
    join(bin, 'initdb'),
    ['-D', data, '--auth=trust', `--username=${USER}`, '--no-sync', '--encoding=UTF8', '--locale=C'],
    { ...identity, cwd: directory },
  );
  if (created.status !== 0) throw new Error(`initdb: ${created.stderr.toString()}`);
  const port = await freePort();
  // The shell holds the read end of a pipe whose write end belongs to this process. However this process ends, the shell
  // then stops the server and removes the directory.
  const script =
    `"${bin}/postgres" -D "${data}" -p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off ` +
    `>"${directory}/log" 2>&1 & server=$!; cat >/dev/null; kill -QUIT $server; wait $server; rm -rf "${directory}"`;
  const shell = spawn('/bin/sh', ['-c', script], {
    ...identity,
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = new Promise<void>((done) => shell.once('exit', () => done()));
  const end = Date.now() + START_TIMEOUT;
  for (;;) {
    const ready = spawnSync(join(bin, 'pg_isready'), ['--quiet', '--host=127.0.0.1', `--port=${port}`], { cwd: '/' });
    if (ready.status === 0) break;
    if (shell.exitCode !== null || Date.now() > end) {
      throw new Error(`PostgreSQL did not start:\n${readFileSync(join(directory, 'log'), 'utf8')}`);
    }
    await new Promise((done) => setTimeout(done, 50));
  }
  const url = `postgresql://${USER}@127.0.0.1:${port}/postgres?sslmode=disable`;
  return {
    url,
    loseNotifications() {
      const replace =
        'SET allow_system_table_mods = on; ALTER FUNCTION pg_catalog.pg_notify(text, text) RENAME TO pg_notify_lost; ' +
        "CREATE FUNCTION pg_catalog.pg_notify(text, text) RETURNS void LANGUAGE sql AS ''";
      const { status, stderr } = spawnSync(join(bin, 'psql'), ['--no-psqlrc', '--set=ON_ERROR_STOP=1', '--command', replace, url], { cwd: '/' });
      if (status !== 0) throw new Error(`psql: ${stderr.toString()}`);
    },
    async stop() {
      shell.stdin.end();
      await ended;
    },
  };
}
