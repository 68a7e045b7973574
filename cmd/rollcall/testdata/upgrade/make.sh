#!/bin/sh
# make.sh PROGRAM NAME: keeps what a build of rollcall leaves on disk, as NAME.tar.zst beside this script: the data directory (data), and what each view printed (views).
# TestUpgrade opens every archive here with the build under test. Add one for each release; never make one again.
set -eu
program=$1 here=$(cd "$(dirname "$0")" && pwd) name=$2
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
mkdir "$work/views"
export XDG_CACHE_HOME="$work/cache"
"$program" serve --source test=none --data-dir "$work/data" --ready-file "$work/ready.json" --nats-listen 127.0.0.1:0 \
	--ingest-addr 127.0.0.1:0 --api-addr 127.0.0.1:0 --admin-addr 127.0.0.1:0 2>"$work/log" &
served=$!
until [ -s "$work/ready.json" ]; do sleep 0.1; done
address() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$work/ready.json"; }
"$program" simulate --url "http://$(address ingest)/webhooks/test" --sessions 6 --seed 5 --shuffle --duplicates 0.1
"$program" status --wait 60s --nats-url "$(address nats)"
for view in sessions attendance recordings artifacts livestreams usage; do
	"$program" views get "$view" --nats-url "$(address nats)" >"$work/views/$view"
done
kill -TERM $served
wait $served
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner -cf - data views | zstd -19 -q -f -o "$here/$name.tar.zst"
ls -l "$here/$name.tar.zst"
