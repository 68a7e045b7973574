#!/usr/bin/env python3
"""Follows a Rollcall view over plain NATS, without a gap, across lost connections and changes of generation, and begins
again where the view's stream has lost what was read. Standard library only.

    python3 follow.py 127.0.0.1:4222 sessions

Prints a JSON line for each change, each commit and each reset; docs/FORMAT.md says what they mean.
"""
import base64, collections, json, re, secrets, socket, sys, time

host, port = sys.argv[1].rsplit(":", 1)
view = sys.argv[2]
SILENCE = 5         # seconds: a consumer says every second that it exists
AWAY = 23 * 3600    # seconds after which delete markers may have expired
NOT_FOUND = 10037   # the server's code for: no such message


class Connection:
    """Just enough of the NATS client protocol."""

    def __init__(self):
        self.socket = socket.create_connection((host, int(port)), timeout=SILENCE)
        self.stream = self.socket.makefile("rb")
        self.inbox = "_INBOX." + secrets.token_hex(16)  # nobody else knows where we listen
        self.subscriptions, self.held = 0, collections.deque()
        self.write('CONNECT {"verbose":false,"headers":true,"no_responders":true}')
        self.answers = self.subscribe()

    def write(self, line, body=None):
        self.socket.sendall(line.encode() + b"\r\n" + (b"" if body is None else body + b"\r\n"))

    def subscribe(self):
        self.subscriptions += 1
        self.write(f"SUB {self.inbox}.{self.subscriptions} {self.subscriptions}")
        return str(self.subscriptions)

    def receive(self):
        """The next message: subscription, subject, reply subject, headers as text, body."""
        while line := self.stream.readline().decode().split():
            if line[0] == "PING":
                self.write("PONG")
            elif line[0] == "-ERR":
                raise OSError(" ".join(line))
            elif line[0] in ("MSG", "HMSG"):
                total, head = int(line[-1]), int(line[-2]) if line[0] == "HMSG" else 0
                data = self.stream.read(total + 2)[:-2]
                reply = line[3] if len(line) == (6 if head else 5) else ""
                return line[2], line[1], reply, data[:head].decode(), data[head:]
        raise OSError("connection closed")

    def request(self, subject, body):
        """Asks JetStream, and keeps what is delivered meanwhile."""
        body = json.dumps(body).encode()
        self.write(f"PUB $JS.API.{subject} {self.inbox}.{self.answers} {len(body)}", body)
        while (message := self.receive())[0] != self.answers:
            self.held.append(message)
        answer = json.loads(message[4] or '{"error":{"description":"nobody answers"}}')
        if "error" in answer and NOT_FOUND not in answer["error"].values():
            raise OSError(f"{subject}: {answer['error']}")
        return answer

    def last(self, stream, subject):
        """The last message of a subject, as JSON, from the stream's leader; None where there is none."""
        answer = self.request(f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
        return None if "error" in answer else json.loads(base64.b64decode(answer["message"]["data"]))


class Consumer:
    """An ephemeral push consumer. What it delivers names it, and is numbered."""

    def __init__(self, conn, stream, filters, **config):
        self.conn, self.stream, self.number, self.seen = conn, stream, 0, time.monotonic()
        self.name = secrets.token_hex(12)
        self.subscription = conn.subscribe()
        config |= {"name": self.name, "deliver_subject": f"{conn.inbox}.{self.subscription}", "ack_policy": "none", "filter_subjects": filters,
                   "mem_storage": True, "num_replicas": 1, "flow_control": True, "idle_heartbeat": 1_000_000_000}
        conn.request(f"CONSUMER.CREATE.{stream}.{self.name}", {"stream_name": stream, "config": config})

    def take(self, reply, headers):
        """(sequence, pending) of a message that is the next of this consumer; None of a heartbeat and the like."""
        self.seen = time.monotonic()
        if re.match(r"NATS/1\.0 \d", headers):  # a heartbeat or flow control, which wants an answer
            stalled = re.search(r"Nats-Consumer-Stalled: (\S+)", headers)
            for to in filter(None, [reply, stalled and stalled[1]]):
                self.conn.write(f"PUB {to} 0", b"")
            return None
        ack = reply.split(".")
        stream, name, _, sequence, number, _, pending = ack[4:11] if len(ack) > 9 else ack[2:]
        self.number += 1
        if (stream, name, int(number)) != (self.stream, self.name, self.number):
            raise OSError(f"message {number} of {name} instead of {self.number} of {self.name}")
        return int(sequence), int(pending)


class Follower:
    """What was read, and the proof that it is what the stream holds: see `Resume` in FORMAT.md."""
    bucket, position, takeover, proven, seen = None, 0, None, 0, 0.0

    def reset(self):
        self.position, self.takeover, self.proven = 0, None, 0
        print(json.dumps({"reset": self.bucket}), flush=True)  # forget everything: the documents come again

    def continues(self, at):
        """Whether the stream still holds what it held at a position under the take-over that we know."""
        marker = self.takeover and self.conn.last(f"KV_{self.bucket}", f"rollcall.state.{self.bucket}.takeover.{self.takeover}")
        return bool(marker) and at <= marker.get("until", at)

    def follow(self):
        """Continues after the position. The consumer is made first: what changes after the proof shows in what it delivers."""
        stream, state = f"KV_{self.bucket}", f"rollcall.state.{self.bucket}"
        if self.consumer:
            self.conn.write(f"UNSUB {self.consumer.subscription}")  # without a listener the server forgets it
        self.consumer = Consumer(self.conn, stream, [f"$KV.{self.bucket}.>", f"{state}.checkpoint"],
                                 deliver_policy="by_start_sequence", opt_start_seq=self.position + 1)
        end = self.conn.request(f"STREAM.INFO.{stream}", {})["state"]["last_seq"]
        away = self.position < end and time.time() - self.seen > AWAY
        if self.position and (away or self.position > end or not self.continues(self.position)):
            self.reset()
            return self.follow()
        self.proven = self.position
        if not self.position:
            self.takeover = (self.conn.last(stream, f"{state}.checkpoint") or {}).get("takeover")

    def change(self, subject, reply, headers, body):
        if not (at := self.consumer.take(reply, headers)):
            return
        sequence, pending = at
        if subject.startswith("$KV."):
            gone = "KV-Operation:" in headers or "Nats-Marker-Reason:" in headers
            line = {"key": subject.split(".", 2)[2], "revision": sequence, "document": None if gone else json.loads(body)}
        else:
            checkpoint = json.loads(body)
            if checkpoint.get("takeover") != self.takeover and (self.takeover or self.proven) and not self.continues(self.proven):
                self.reset()
                return self.follow()
            self.takeover, self.proven = checkpoint.get("takeover"), sequence
            line = {"commit": checkpoint["sequence"], "position": sequence, "complete": pending == 0}
        self.position = sequence
        print(json.dumps(line), flush=True)

    def alias(self, body):
        bucket = json.loads(body)["bucket"] if body else self.bucket  # deleted: the active one stays
        if moved := bucket != self.bucket:
            self.bucket = bucket
            self.reset()
        if moved or bucket and not self.consumer:
            self.follow()

    def run(self):
        self.conn, self.consumer = Connection(), None
        alias = Consumer(self.conn, "KV_rollcall", [f"$KV.rollcall.alias.{view}"], deliver_policy="last")  # now, and whenever it moves
        while True:
            held = self.conn.held
            subscription, subject, reply, headers, body = held.popleft() if held else self.conn.receive()
            if subscription == alias.subscription:
                if alias.take(reply, headers):
                    self.alias(body)
            elif self.consumer and subscription == self.consumer.subscription:  # what a former one still sends is not ours
                self.change(subject, reply, headers, body)
                self.seen = time.time()
            for one in filter(None, [alias, self.consumer]):
                if time.monotonic() - one.seen > SILENCE:
                    raise OSError(f"consumer of {one.stream} is silent")


follower = Follower()
while True:
    try:
        follower.run()
    except (OSError, ValueError) as problem:  # a connection that breaks in a message leaves half of it
        print(problem, file=sys.stderr, flush=True)
        time.sleep(1)
