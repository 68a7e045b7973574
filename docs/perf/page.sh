#!/usr/bin/env bash
# Measures the page and writes docs/perf/page.txt: its weight, first paint, and what an update costs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=docs/perf/page.txt
{
  echo "# ./docs/perf/page.sh: the page in $(chromium --version 2>/dev/null), $(go env GOVERSION), $(uname -m), $(nproc) cores"
  echo "# medians are not taken: one run, the machine's load average was $(cut -d' ' -f1 /proc/loadavg)"
  echo "# script and main-thread time are Chromium's own sums (Performance.getMetrics), the tests' looking included"
  go test -count=1 -v -run '^TestAssets$' ./query/page | sed -n 's/.*: \([0-9]* files, .*\)/all that the page can load: \1/p'
} > "$out"
go test -tags browser -count=1 -run '^(TestManySessions|TestManyConnections|TestFirstPaint)$' ./query/page -args -perf "$PWD/$out"
cat "$out"
