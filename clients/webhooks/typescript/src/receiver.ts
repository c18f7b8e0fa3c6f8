// Receives Dabba's webhooks: verifies each one, and keeps each event once in a file.
//
// usage: WEBHOOK_SECRET=whsec_… node build/receiver.js FILE [PORT]
//
// FILE contains one event per line. Replace it with your own database, and write an event and the result of your work
// in one transaction: a receiver that stops between the two then receives the event again.
//
// - Dabba counts every status from 200 to 299 as received, and repeats everything else: respond after the write.
// - Dabba may send an event more than once. The event's id finds the repetitions.
// - Dabba waits 10 s for a response. Work that takes longer belongs in a queue that another process reads.
// - While a secret is rotated, Dabba signs with the old and the new secret, so one secret here is enough.
import { existsSync, fstatSync, fsyncSync, ftruncateSync, openSync, readFileSync, truncateSync, writeSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Webhook } from "standardwebhooks";

/** Maximum size of a body, in bytes: far more than a batch of 100 events. */
const MAX_BODY = 16 * 1024 * 1024;

/** Type of the event that `POST /v1/webhook-endpoints/{id}/test` sends. It belongs to no order. */
const TEST_TYPE = "app.dabba.webhook.test.v1";

/** The members of an event that this program uses. `data` depends on the type: see docs/reference/events.md. */
interface Event {
  id: string;
  type: string;
  partitionkey?: string;
  sequence?: string;
  data: unknown;
}

/** The events in a file, each once. */
class Events {
  readonly #file: number;
  readonly #ids = new Set<string>();

  constructor(path: string) {
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    // A crash may have cut the last line. Its events were not confirmed, so Dabba sends them again.
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    if (whole !== text) truncateSync(path, Buffer.byteLength(whole));
    for (const line of whole.split("\n")) {
      if (line !== "") this.#ids.add((JSON.parse(line) as Event).id);
    }
    this.#file = openSync(path, "a", 0o600);
  }

  /** Keeps the events that are new. Returns after they are on the disk. */
  keep(events: Event[]): void {
    const added = events.filter((event) => !this.#ids.has(event.id));
    if (added.length === 0) return;
    const lines = Buffer.from(added.map((event) => `${JSON.stringify(event)}\n`).join(""));
    const length = fstatSync(this.#file).size;
    try {
      for (let written = 0; written < lines.length; ) written += writeSync(this.#file, lines, written);
      fsyncSync(this.#file);
    } catch (error) {
      // A full disk may have kept a part of a line.
      ftruncateSync(this.#file, length);
      throw error;
    }
    for (const event of added) {
      this.#ids.add(event.id);
      if (event.type !== TEST_TYPE) console.log(`order ${event.partitionkey} ${event.sequence}: ${event.type}`);
    }
  }
}

/** Returns the body of a request, or `undefined` if it is too long. */
async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    length += (chunk as Buffer).length;
    if (length > MAX_BODY) return undefined;
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

/** Receives one webhook. Returns the status of the response. */
async function receive(request: IncomingMessage): Promise<number> {
  if (request.method !== "POST") return 405;
  const body = await bodyOf(request);
  if (body === undefined) return 413;
  let content: unknown;
  try {
    // The signature covers these bytes: verify them before anything parses them.
    content = webhook.verify(body, request.headers as Record<string, string>);
  } catch (error) {
    console.error(`refused: ${error}`);
    return 401;
  }
  // With `batch` above 1, the body is an array of events.
  events.keep(Array.isArray(content) ? (content as Event[]) : [content as Event]);
  return 204;
}

const [file, port] = process.argv.slice(2);
const secret = process.env["WEBHOOK_SECRET"];
if (file === undefined || secret === undefined) {
  console.error("usage: WEBHOOK_SECRET=whsec_… node build/receiver.js FILE [PORT]");
  process.exit(2);
}
if (!secret.startsWith("whsec_")) {
  console.error("WEBHOOK_SECRET must be the secret of the endpoint, which begins with whsec_");
  process.exit(2);
}
const webhook = new Webhook(secret);
const events = new Events(file);
const server = createServer((request: IncomingMessage, response: ServerResponse) => {
  receive(request).then(
    (status) => response.writeHead(status).end(),
    (error: unknown) => {
      // Dabba retries.
      console.error(error);
      response.writeHead(500).end();
    },
  );
});
const number = Number(port ?? 9000);
server.on("error", (error) => {
  console.error(`cannot listen on port ${number}: ${error.message}; give another port`);
  process.exit(1);
});
server.listen(number, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${number}`));
