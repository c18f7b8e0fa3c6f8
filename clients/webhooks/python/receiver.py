"""Receives Dabba's webhooks: verifies each one, and keeps each event once in a file.

usage: WEBHOOK_SECRET=whsec_… receiver.py FILE [--port PORT]

FILE is an SQLite database. Replace `apply` with your own work, and write its result in the same transaction: a receiver
that stops between the two then receives the event again.

- Dabba counts every status from 200 to 299 as received, and repeats everything else. So respond only after the commit.
- Dabba may send an event more than once. The primary key of `events` finds the repetitions.
- Dabba waits 10 s for a response. Work that takes longer belongs in a queue that a second process reads.
- While a secret is rotated, Dabba signs with the old and the new secret, so one secret here is enough.
"""

import argparse
import json
import os
import sqlite3
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

# Maximum size of a body, in bytes: far more than a batch of 100 events.
MAX_BODY = 16 * 1024 * 1024

# Type of the event that `POST /v1/webhook-endpoints/{id}/test` sends. It belongs to no order.
TEST_TYPE = "app.dabba.webhook.test.v1"

SCHEMA = """
CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, sequence INTEGER NOT NULL, last_type TEXT NOT NULL) STRICT;
"""


def apply(database: sqlite3.Connection, event: dict) -> None:
    """Keeps the last event of each order. A repeated event may be older than the last one."""
    if event["type"] == TEST_TYPE:
        return
    database.execute(
        "INSERT INTO orders VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE"
        " SET sequence = excluded.sequence, last_type = excluded.last_type WHERE sequence < excluded.sequence",
        (event["partitionkey"], int(event["sequence"]), event["type"]),
    )


class Receiver(ThreadingHTTPServer):
    """A server that verifies webhooks and keeps their events."""

    daemon_threads = True

    def __init__(self, port: int, webhook: Webhook, database: sqlite3.Connection) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.webhook = webhook
        self.database = database
        self.lock = threading.Lock()

    def keep(self, events: list[dict]) -> None:
        """Keeps the events that are new, all of them or none."""
        with self.lock, self.database:
            for event in events:
                row = (event["id"], json.dumps(event))
                if self.database.execute("INSERT OR IGNORE INTO events VALUES (?, ?)", row).rowcount == 1:
                    apply(self.database, event)


class Handler(BaseHTTPRequestHandler):
    """Handles one connection."""

    protocol_version = "HTTP/1.1"
    # Seconds without a byte after which a connection is closed.
    timeout = 60
    server: Receiver

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True
            self.respond(413)
            return
        # The signature covers these bytes: verify them before anything parses them.
        body = self.rfile.read(int(length))
        try:
            content = self.server.webhook.verify(body, dict(self.headers.items()))
        except (WebhookVerificationError, ValueError) as error:
            # A malformed signature is a ValueError.
            print(f"refused: {error}", file=sys.stderr)
            self.respond(401)
            return
        # With `batch` above 1, the body is an array of events.
        self.server.keep(content if isinstance(content, list) else [content])
        self.respond(204)

    def respond(self, status: int) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        print(f"{self.headers.get('webhook-id', '-')}: {format % args}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description="Receives Dabba's webhooks.")
    parser.add_argument("file")
    parser.add_argument("--port", type=int, default=9000)
    options = parser.parse_args()
    secret = os.environ.get("WEBHOOK_SECRET", "")
    if not secret.startswith("whsec_"):
        parser.error("WEBHOOK_SECRET must be the secret of the endpoint, which begins with whsec_")
    try:
        database = sqlite3.connect(options.file, check_same_thread=False)
        database.executescript(SCHEMA)
        server = Receiver(options.port, Webhook(secret), database)
    except sqlite3.Error as error:
        sys.exit(f"{options.file} cannot be used as an SQLite database: {error}; give another file")
    except OSError as error:
        sys.exit(f"cannot listen on port {options.port}: {error}; give another port with --port")
    except ValueError as error:
        sys.exit(f"WEBHOOK_SECRET is malformed: {error}")
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
