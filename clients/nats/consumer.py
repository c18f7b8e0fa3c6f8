"""Consumes Dabba's events from NATS JetStream and keeps the last event of each order in a file, each event once and in order.

usage: consumer.py URL FILE [--stream NAME] [--credentials FILE] [--until COUNT]

FILE is an SQLite database. Replace `apply` with your own work, and write its result in the same transaction.

exit status: 0 after COUNT events, 1 for a message or a FILE that cannot be used, 2 for wrong arguments, 3 for a gap in
the events of an order, 130 after Ctrl-C. Standard error states the reason.

The stream is a copy that Dabba can regenerate: a server that lost messages receives them again, perhaps under the
sequence numbers of other events. So this consumer keeps its position itself, in the transaction that contains its
results, and checks at each connection that the stream still holds the same message there. If not, it reads the stream
from its beginning, and skips what it knows. A durable consumer of JetStream would keep the bare number, and could skip
events.
"""

import argparse
import asyncio
import json
import sqlite3
import sys

import nats
from nats.errors import Error as NatsError, TimeoutError as NatsTimeout
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

# The events: bucket, restaurant and order. The subject dabba.events.mark does not match.
SUBJECT = "dabba.events.*.*.*"

# Number of events that are fetched, and committed, at once.
BATCH = 256

# Seconds that a fetch waits for events.
FETCH_SECONDS = 5

# Seconds before the next attempt to connect.
RETRY_SECONDS = 0.5

# Exit status after a gap in the events of an order.
EXIT_GAP = 3

# Exit status after SIGINT, as shells report it.
EXIT_INTERRUPTED = 130

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, version INTEGER NOT NULL, last_type TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS position (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), sequence INTEGER NOT NULL,
    event TEXT NOT NULL) STRICT;
"""


class Interrupted(Exception):
    """The connection was interrupted: check the position again."""


class MissingStream(Exception):
    """The server has no such stream."""


class ForeignMessage(Exception):
    """A message of the stream is not an event of Dabba."""


class Gap(Exception):
    """The next event of an order is missing."""

    def __init__(self, order: str, known: int, version: int) -> None:
        super().__init__(f"order {order}: version {version} follows version {known}, and the events between are missing")
        self.order = order


class Reporter:
    """Prints why the consumer connects again, and that it reads again: a text that repeats is printed once."""

    def __init__(self) -> None:
        self.last = None

    async def on_error(self, error: Exception) -> None:
        """Receives the errors of the library, which would otherwise print each one with a traceback."""
        self.report(f"no connection: {str(error) or type(error).__name__}")

    def report(self, text: str) -> None:
        if text != self.last:
            print(text, file=sys.stderr)
        self.last = text


def decode(message) -> dict:
    """Returns the event that a message contains."""
    try:
        event = json.loads(message.data)
        # These members and the header are read below.
        _ = event["partitionkey"], event["type"], int(event["sequence"]), message.headers["Nats-Msg-Id"]
    except (ValueError, KeyError, TypeError):
        raise ForeignMessage(message.metadata.sequence.stream) from None
    return event


def apply(database: sqlite3.Connection, event: dict) -> None:
    """Applies an event, unless it is known. The versions of an order ascend without a gap."""
    order, version = event["partitionkey"], int(event["sequence"])
    row = database.execute("SELECT version FROM orders WHERE id = ?", (order,)).fetchone()
    known = row[0] if row else 0
    if version <= known:
        return
    # An order whose first events are older than the stream begins later. After that, a gap means that the stream dropped
    # events before this consumer read them.
    if known and version != known + 1:
        raise Gap(order, known, version)
    database.execute("REPLACE INTO orders VALUES (?, ?, ?)", (order, version, event["type"]))


async def first_sequence(js, stream: str, database: sqlite3.Connection) -> int:
    """Returns the sequence number of the first message to read."""
    row = database.execute("SELECT sequence, event FROM position").fetchone()
    if row is None:
        return 1
    sequence, event = row
    try:
        message = await js.get_msg(stream, sequence)
        is_same = (message.headers or {}).get("Nats-Msg-Id") == event
    except NotFoundError:
        # Older than the stream, or lost. If the stream dropped it because of its age, all later messages are there.
        info = await js.stream_info(stream)
        is_same = 0 < sequence < info.state.first_seq
    return sequence + 1 if is_same else 1


async def follow(options: argparse.Namespace, database: sqlite3.Connection, reporter: Reporter) -> None:
    """Consumes events until the connection is interrupted, or until the wanted number of events is reached."""
    interrupted = asyncio.Event()

    async def on_disconnect() -> None:
        interrupted.set()

    client = await nats.connect(
        options.url,
        user_credentials=options.credentials,
        allow_reconnect=False,
        error_cb=reporter.on_error,
        disconnected_cb=on_disconnect,
        closed_cb=on_disconnect,
    )
    try:
        js = client.jetstream()
        try:
            await js.stream_info(options.stream)
        except NotFoundError:
            raise MissingStream(options.stream) from None
        if reporter.last is not None:
            reporter.report(f"reading the stream {options.stream} again")
            reporter.last = None
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=await first_sequence(js, options.stream, database),
            ack_policy=AckPolicy.NONE,
            inactive_threshold=60,
        )
        subscription = await js.pull_subscribe(SUBJECT, stream=options.stream, config=config)
        while not is_done(options, database):
            try:
                messages = await subscription.fetch(BATCH, timeout=FETCH_SECONDS)
            except NatsTimeout:
                if interrupted.is_set():
                    raise Interrupted from None
                # A consumer that the server forgot receives nothing more: this raises NotFoundError.
                await subscription.consumer_info()
                continue
            # One transaction: the results, and the position after them.
            with database:
                for message in messages:
                    apply(database, decode(message))
                last = messages[-1]
                place = (last.metadata.sequence.stream, last.headers["Nats-Msg-Id"])
                database.execute("REPLACE INTO position VALUES (1, ?, ?)", place)
    finally:
        await client.close()


def is_done(options: argparse.Namespace, database: sqlite3.Connection) -> bool:
    """Returns whether the wanted number of events is reached."""
    if options.until is None:
        return False
    (count,) = database.execute("SELECT coalesce(sum(version), 0) FROM orders").fetchone()
    return count >= options.until


async def main() -> None:
    parser = argparse.ArgumentParser(description="Consumes Dabba's events from NATS JetStream.")
    parser.add_argument("url")
    parser.add_argument("file")
    parser.add_argument("--stream", default="DABBA_EVENTS")
    parser.add_argument("--credentials")
    parser.add_argument("--until", type=int, help="end after this number of events")
    options = parser.parse_args()
    try:
        database = sqlite3.connect(options.file)
        database.executescript(SCHEMA)
    except sqlite3.Error as error:
        sys.exit(f"{options.file} cannot be used as an SQLite database: {error}; give another file")
    reporter = Reporter()
    while not is_done(options, database):
        try:
            await follow(options, database, reporter)
        except MissingStream:
            reporter.report(f"the stream {options.stream} is missing: waiting until Dabba has created it")
        except ForeignMessage as message:
            # Events of Dabba may be missing, too: an operator has to decide.
            sys.exit(
                f"message {message} of the stream {options.stream} is not an event of Dabba: delete it "
                f"(nats stream rmm {options.stream} {message}), and start the consumer again"
            )
        except Gap as gap:
            # The transaction is rolled back, so a restart reads the same messages again.
            print(
                f"{gap}: the stream {options.stream} dropped them before they were read. Read them from Dabba "
                f"(GET /v1/orders/{gap.order}/events), apply them to {options.file}, and start the consumer again; or "
                f"delete {options.file} to begin with the first message of the stream",
                file=sys.stderr,
            )
            sys.exit(EXIT_GAP)
        except sqlite3.Error as error:
            sys.exit(f"{options.file} cannot be written: {error}")
        except Interrupted:
            reporter.report("the connection was interrupted: connecting again")
        except (NatsError, OSError) as error:
            reporter.report(f"connecting again: {str(error) or type(error).__name__}")
        await asyncio.sleep(RETRY_SECONDS)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
