"""Checks the receivers of this directory against a server; scripts/check-webhooks runs it.

usage: check.py DIRECTORY PYTHON_COMMAND NODE_COMMAND

DIRECTORY contains `server.json`, the line that `dabba serve --demo --json` prints. The files of the receivers go there.
"""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import shlex
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid

# Seconds to wait for anything.
PATIENCE = 60

directory = pathlib.Path(sys.argv[1])
demo = json.loads((directory / "server.json").read_text())


def call(method, path, token, body=None, headers=()):
    """Sends a request to the server. Returns the body and the headers of the response, which must be a success."""
    request = urllib.request.Request(demo["address"] + path, method=method)
    request.add_header("authorization", "Bearer " + demo["tokens"][token])
    for name, value in headers:
        request.add_header(name, value)
    data = None
    if body is not None:
        request.add_header("content-type", "application/json")
        data = json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, data, timeout=PATIENCE) as response:
            text = response.read()
            return (json.loads(text) if text else None), response.headers
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from None


def wait_for(what, condition):
    """Polls until the condition is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"timeout: {what}"
        time.sleep(0.05)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Receiver:
    """A receiver, its endpoint and its file."""

    def __init__(self, name, command, events, endpoint):
        self.name, self.command, self.read_events = name, command, events
        self.port = free_port()
        self.file = directory / f"{name}.events"
        url = f"http://127.0.0.1:{self.port}/"
        created, headers = call("POST", "/v1/webhook-endpoints", "admin", {**endpoint, "url": url})
        self.path = "/v1/webhook-endpoints/" + created["id"]
        assert headers["location"].endswith(self.path), headers["location"]
        self.secret = created["secret"]
        self.start()

    def start(self):
        port = ["--port", str(self.port)] if self.name == "python" else [str(self.port)]
        environment = {**os.environ, "WEBHOOK_SECRET": self.secret}
        arguments = [*shlex.split(self.command), str(self.file), *port]
        self.process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout.readline().startswith(b"listening"), self.name
        # The rest of the output is not needed.
        if self.name != "python":
            self.reader = subprocess.Popen(["cat"], stdin=self.process.stdout, stdout=subprocess.DEVNULL)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def ids(self):
        return [event["id"] for event in self.read_events(self.file)]

    def expect(self, ids):
        """Waits until the receiver has kept these events, each once, and the events of an order in their order."""
        wait_for(f"{self.name} receives {ids}", lambda: set(ids) <= set(self.ids()))
        kept = [id for id in self.ids() if id in set(ids)]
        assert len(kept) == len(ids), f"{self.name}: {kept}"
        assert kept == sorted(kept, key=lambda id: int(id.rsplit("-", 1)[1])), f"{self.name}: {kept}"

    def send(self, body, signed=None, secret=None, timestamp=None, signature=None):
        """Sends a request to the receiver. Returns the status."""
        id, timestamp = "msg-" + uuid.uuid4().hex, str(timestamp or int(time.time()))
        key = base64.b64decode((secret or self.secret).removeprefix("whsec_"))
        digest = hmac.digest(key, b".".join([id.encode(), timestamp.encode(), signed or body]), hashlib.sha256)
        headers = {
            "content-type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signature or "v1," + base64.b64encode(digest).decode(),
        }
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return response.status
        except urllib.error.HTTPError as error:
            return error.code


def events_in_sqlite(file):
    with sqlite3.connect(file) as database:
        return [json.loads(body) for (body,) in database.execute("SELECT body FROM events ORDER BY rowid")]


def events_in_lines(file):
    # The last line may be incomplete.
    return [json.loads(line) for line in file.read_text().split("\n")[:-1]]


def order():
    """Places an order that the restaurant accepts. Returns the ids of its events."""
    path = f"/v1/restaurants/{demo['restaurant_id']}/orders"
    placed, _ = call("POST", path, "customer", demo["order"], [("idempotency-key", uuid.uuid4().hex)])
    path = "/v1/orders/" + placed["id"]
    call("POST", path + "/accept", "restaurant", {"preparation_minutes": 15})
    events, _ = call("GET", path + "/events", "restaurant")
    return [f"{placed['id']}-{event['version']}" for event in events["events"]]


def check_refusals(receiver):
    """A receiver keeps what is signed, refuses what is not, and survives it."""
    event = json.dumps({"id": "forged-1", "type": "app.dabba.webhook.test.v1", "data": {}}).encode()
    tampered = event.replace(b"forged-1", b"forged-2")
    assert receiver.send(event) == 204, receiver.name
    assert receiver.send(event) == 204, receiver.name
    assert receiver.send(tampered, signed=event) == 401, receiver.name
    assert receiver.send(tampered, timestamp=int(time.time()) - 3_600) == 401, receiver.name
    other = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    assert receiver.send(tampered, secret=other) == 401, receiver.name
    for malformed in ["v1", "v1,", "v1,%", ",", "x", "v1a,AAAA"]:
        assert receiver.send(tampered, signature=malformed) == 401, f"{receiver.name}: {malformed}"
    assert receiver.send(b"\xff", signed=b"{}") == 401, receiver.name
    assert [id for id in receiver.ids() if id.startswith("forged")] == ["forged-1"], receiver.name


def check_rotation(receiver):
    """While the secrets overlap, the old one verifies. Events that failed while the receiver was down follow."""
    before = receiver.secret
    rotated, _ = call("POST", receiver.path + "/rotate-secret", "admin", {"overlap_seconds": 3_600})
    assert rotated["secret"] not in (None, before) and len(rotated["secrets"]) == 2, rotated
    receiver.expect(order())
    receiver.stop()
    missed = order()
    failed = lambda: call("GET", receiver.path + "/attempts?failed=true", "admin")[0]["attempts"]
    wait_for(f"an attempt to {receiver.name} fails", failed)
    receiver.secret = rotated["secret"]
    receiver.start()
    receiver.expect(missed)


def main():
    python, node = sys.argv[2:4]
    restaurant = {"restaurant_id": demo["restaurant_id"]}
    receivers = [
        Receiver("python", python, events_in_sqlite, restaurant),
        Receiver("typescript", node, events_in_lines, {"batch": 50}),
    ]
    try:
        for receiver in receivers:
            test, _ = call("POST", receiver.path + "/test", "admin")
            assert test["delivered"] and test["status"] == 204, test
            assert len(receiver.ids()) == 1, receiver.ids()
            check_refusals(receiver)
        print("test events are verified, and wrong signatures are refused")
        ids = order()
        for receiver in receivers:
            receiver.expect(ids)
        # Each receiver gets the other form of deliveries.
        for receiver, batch in zip(receivers, (50, 1)):
            _, headers = call("GET", receiver.path, "admin")
            call("PATCH", receiver.path, "admin", {"batch": batch}, [("if-match", headers["etag"])])
        ids = [order(), order()]
        for receiver in receivers:
            receiver.expect(ids[0])
            receiver.expect(ids[1])
        print("both receivers have all events, one at a time and in batches")
        for receiver in receivers:
            check_rotation(receiver)
        print("the secrets are rotated, and missed events are delivered")
        for receiver in receivers:
            call("DELETE", receiver.path, "admin")
    finally:
        for receiver in receivers:
            receiver.stop()


main()
