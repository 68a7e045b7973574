#!/usr/bin/env bash
# Four accidents, each from the first symptom to the mend, by what the program itself says. Prints what a user sees.
# It uses the default ports, and root for a small disk: ./docs/perf/transcripts.sh > docs/perf/transcripts-DATE.txt
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
go build -o "$work/bin/rollcall" ./cmd/rollcall || exit 1
echo "command:  docs/perf/transcripts.sh"
echo "machine:  $(nproc) cores, $(uname -sr), data on $(stat -f -c %T "$work"); the full disk is a tmpfs of 24 MiB"
echo "versions: $(go env GOVERSION), commit of \"$(git log -1 --format=%s)\""
echo "notes:    real runs, one after the other; lines of the server's log are shown where it says more than \"catching up\" and \"live\""
export PATH="$work/bin:$PATH" XDG_CACHE_HOME="$work/cache" NO_COLOR=1
unset ROLLCALL_NATS_URL
cd "$work" || exit 1
pid=

title() { printf '\n\n## %s\n' "$1"; }
note() { printf '\n# %s\n' "$1"; }
# run shows a command, what it says and how it ended.
run() {
  printf '\n$ %s\n' "$*"
  "$@" 2>&1
  local code=$?
  [ $code = 0 ] || echo "(exit code $code)"
}
# serve starts the program behind the scenes until it is ready, or has ended.
serve() {
  printf '\n$ rollcall serve --source test=none%s &\n' "${*:+ $*}"
  rollcall serve --source test=none --log-format json --ready-file ready.json "$@" > serve.log 2>&1 &
  pid=$!
  while kill -0 $pid 2>/dev/null && [ ! -s ready.json ]; do sleep 0.1; done
}
stop() { kill "$pid" && wait "$pid"; pid=; }
logged() { printf '\n# its log:\n'; grep -E "$1" serve.log | sed 's/,"time":"[^"]*"//' | awk '!seen[$0]++' | head -"${2:-6}"; }
ready() { run curl -s http://127.0.0.1:8082/readyz?verbose; }
post() { curl -s -o /dev/null -w '%{http_code}' -d "{\"event\":\"meeting.started\",\"meeting\":{\"id\":\"m\",\"sessionId\":\"$1\",\"title\":\"$1\"}${2:+,\"padding\":\"$2\"}}" http://127.0.0.1:8080/webhooks/test; }
settle() { rollcall status --wait 30s > /dev/null; }
# removeStream deletes a stream as any tool with an operator's login can.
removeStream() {
  printf '\n# somebody deletes the stream %s with an operator'"'"'s login\n' "$1"
  python3 - "$XDG_CACHE_HOME"/rollcall/nats-4222.login "$1" <<'PY'
import json, socket, sys
user, _, password = open(sys.argv[1]).read().strip().partition(":")
s = socket.create_connection(("127.0.0.1", 4222))
s.recv(4096)
hello = json.dumps({"user": user, "pass": password, "verbose": False, "pedantic": False})
s.sendall(f"CONNECT {hello}\r\nSUB r 1\r\nPUB $JS.API.STREAM.DELETE.{sys.argv[2]} r 0\r\n\r\nPING\r\n".encode())
answer = b""
while b"success" not in answer and b"error" not in answer:
    answer += s.recv(4096)
PY
}

title "A killed backup"
serve --data-dir a
rollcall simulate --url http://127.0.0.1:8080/webhooks/test --sessions 400 --seed 3 > /dev/null
note "kill -9 while a backup is written"
rollcall events export backup.ndjson > /dev/null 2>&1 &
export=$!
while kill -0 $export 2>/dev/null && [ ! -s backup.ndjson.partial ]; do :; done
kill -9 $export; wait $export 2>/dev/null
run ls backup.ndjson backup.ndjson.partial
run rollcall events import backup.ndjson.partial --data-dir b
run rollcall events export backup.ndjson
run ls backup.ndjson backup.ndjson.partial
stop
note "kill -9 while it is restored"
{ head -3000 backup.ndjson; sleep 60; } | rollcall events import - --data-dir b > /dev/null 2>&1 &
sleep 0.1; import=$(pgrep -n -f 'events import - --data-dir b')
while [ ! -e b/import-unfinished ]; do :; done
kill -9 "$import"
run rollcall serve --source test=none --data-dir b
run rollcall events import backup.ndjson --data-dir b
serve --data-dir b
run rollcall status --wait 30s
stop

title "A full disk"
mkdir disk && mount -t tmpfs -o size=24m tmpfs disk || exit 1
trap 'umount -l "$work/disk" 2>/dev/null' EXIT
serve --data-dir disk/data
head -c 14M /dev/zero > disk/ballast
padding=$(head -c 100000 /dev/zero | tr '\0' x)
n=0; while code=$(post "s$n" "$padding"); [ "$code" = 200 ]; do n=$((n + 1)); done
note "$n deliveries were answered with 200, the next one with $code"
sleep 3
ready
run rollcall status
logged '"error"'
note "space is made"
run rm disk/ballast
while [ "$(post more)" != 200 ]; do sleep 0.2; done
sleep 1
logged '"warn".*started again'
ready
run rollcall status --wait 30s
run rollcall verify
stop

title "A removed bucket"
serve --data-dir c
rollcall simulate --url http://127.0.0.1:8080/webhooks/test --sessions 20 --seed 3 > /dev/null
settle
removeStream KV_sessions_g1
run rollcall status
while ! curl -s http://127.0.0.1:8082/readyz?verbose | grep -q 'project sessions: live'; do sleep 0.2; done
sleep 5
logged 'lost|removed|gone'
run rollcall status --wait 30s
run rollcall verify sessions
note "once more, and nobody waits for the projector"
removeStream KV_sessions_g1
run rollcall rebuild sessions -o table
run rollcall status --wait 30s
stop

title "A restored server with an old replica"
serve --data-dir d --replica-dir replica
for s in monday tuesday wednesday; do post $s > /dev/null; done
settle; stop
run cp -r d backup-of-d
serve --data-dir d --replica-dir replica
for s in thursday friday; do post $s > /dev/null; done
settle
run curl -s 'http://127.0.0.1:8081/v1/sessions?sort=title&format=csv'
stop
note "the disk is lost; the backup of Wednesday is restored, and the replica beside it is Friday's"
run rm -r d
run mv backup-of-d d
serve --data-dir d --replica-dir replica
post saturday > /dev/null
settle; sleep 2
logged 'replica|copy|past|anew|again'
run curl -s 'http://127.0.0.1:8081/v1/sessions?sort=title&format=csv'
ready
run rollcall verify
stop
umount -l "$work/disk"
rm -rf "$work"
