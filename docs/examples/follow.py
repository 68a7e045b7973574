#!/usr/bin/env python3
"""Follows a Rollcall view over plain NATS, without a gap and across changes of generation. Standard library only.

    python3 follow.py 127.0.0.1:4222 sessions

Prints a JSON line for each change, each commit and each reset; docs/FORMAT.md says what they mean.
"""
import json, re, secrets, socket, sys

host, port = sys.argv[1].rsplit(":", 1)
view = sys.argv[2]
conn = socket.create_connection((host, int(port)))
stream = conn.makefile("rb")
ANSWERS, ALIAS, FIRST = "1", "2", 3  # subscriptions: answers to requests, the alias, then one a consumer
me = secrets.token_hex(12)  # inboxes and consumers of our own, which nobody guesses


def write(line, body=None):
    conn.sendall(line.encode() + b"\r\n" + (b"" if body is None else body + b"\r\n"))


def receive():
    """The next message: subscription, subject, reply subject, headers as text, body."""
    while line := stream.readline().decode().split():
        if line[0] == "PING":
            write("PONG")
        elif line[0] == "-ERR":
            sys.exit(" ".join(line))
        elif line[0] in ("MSG", "HMSG"):
            total, head = int(line[-1]), int(line[-2]) if line[0] == "HMSG" else 0
            data = stream.read(total + 2)[:-2]
            reply = line[3] if len(line) == (6 if head else 5) else ""
            return line[2], line[1], reply, data[:head].decode(), data[head:]
    sys.exit("connection closed")


def consume(stream_name, subscription, filters, **config):
    """Makes an ephemeral push consumer, and the subscription that it delivers to."""
    inbox, name = f"_INBOX.{me}.{subscription}", f"{me}-{subscription}"
    write(f"SUB {inbox} {subscription}")
    config |= {"name": name, "deliver_subject": inbox, "ack_policy": "none", "filter_subjects": filters, "mem_storage": True,
               "flow_control": True, "idle_heartbeat": 5_000_000_000}
    body = json.dumps({"stream_name": stream_name, "config": config}).encode()
    write(f"PUB $JS.API.CONSUMER.CREATE.{stream_name}.{name} _INBOX.{me}.answer {len(body)}", body)


def ours(reply, stream_name, subscription):
    """Whether a message comes from this stream and our consumer: anybody in our account can send to an inbox."""
    return reply.split(".")[-7:-5] == [stream_name, f"{me}-{subscription}"]


def follow(after):
    """Documents and checkpoints that stand behind a position, and nothing of the fold's state."""
    global subscription, delivered
    write(f"UNSUB {subscription}")  # what a former consumer still sends is not ours any more
    subscription, delivered = subscription + 1, 0
    consume(f"KV_{bucket}", subscription, [f"$KV.{bucket}.>", f"rollcall.state.{bucket}.checkpoint"],
            deliver_policy="by_start_sequence", opt_start_seq=after + 1)


write('CONNECT {"verbose":false,"headers":true,"no_responders":true}')
write(f"SUB _INBOX.{me}.answer {ANSWERS}")
consume("KV_rollcall", ALIAS, [f"$KV.rollcall.alias.{view}"], deliver_policy="last")  # now, and whenever it changes
bucket, position, delivered, subscription = None, 0, 0, FIRST
while True:
    sid, subject, reply, headers, body = receive()
    status = re.match(r"NATS/1\.0 \d", headers)
    if sid == ANSWERS:
        if b'"error"' in body or status:
            sys.exit(f"refused: {headers} {body.decode()}")
    elif status:  # a heartbeat or flow control, which wants an answer
        stalled = re.search(r"Nats-Consumer-Stalled: (\S+)", headers)
        for to in filter(None, [reply, stalled and stalled[1]]):
            write(f"PUB {to} 0", b"")
    elif sid == ALIAS and ours(reply, "KV_rollcall", ALIAS):
        if json.loads(body)["bucket"] != bucket:
            bucket = json.loads(body)["bucket"]
            print(json.dumps({"reset": bucket}), flush=True)  # forget everything: the documents come anew
            follow(0)
    elif sid == str(subscription) and ours(reply, f"KV_{bucket}", subscription):
        sequence, number, _, pending = (int(n) for n in reply.split(".")[-4:])
        if number != delivered + 1:  # a message was lost on the way: again from behind the last one
            follow(position)
            continue
        position, delivered = sequence, number
        if subject.startswith("$KV."):
            gone = "KV-Operation:" in headers or "Nats-Marker-Reason:" in headers
            change = {"key": subject.split(".", 2)[2], "revision": sequence, "document": None if gone else json.loads(body)}
        else:
            change = {"commit": json.loads(body)["sequence"], "position": position, "complete": pending == 0}
        print(json.dumps(change), flush=True)
