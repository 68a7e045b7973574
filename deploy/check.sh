#!/usr/bin/env bash
# make deploy-check: what deploy/ ships, tested as far as this machine can. The last lines say what was skipped, and why.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
mkdir -p ../.cache
log=$(realpath ../.cache)/deploy-check.log
PATH=$PATH:$(go env GOPATH)/bin # where go install puts goreleaser

go mod tidy -diff
go vet ./...
# One binary for all of them, built as a release is.
binary=$(realpath ../.cache)/rollcall
(cd .. && GOFLAGS= GOWORK=off CGO_ENABLED=0 go build -trimpath -buildvcs=true -ldflags="-s -w" -o "$binary" ./cmd/rollcall)

failed=0
ROLLCALL_BINARY="$binary" go test -count=1 -timeout 10m -v ./... >"$log" 2>&1 || failed=1
if [ "$failed" = 1 ]; then cat "$log"; fi
grep -E '^(ok|FAIL|---? FAIL|panic)' "$log" || true
grep -hE 'Overall exposure|image: [0-9]+ bytes' "$log" | sed 's/^ *[a-z_]*_test.go:[0-9]*: //' || true
echo "$(grep -c -- '^--- PASS' "$log") passed, $(grep -c -- '^--- FAIL' "$log") failed, $(grep -c -- '^--- SKIP' "$log") skipped"
awk '/^=== RUN/ {why = ""} /^ +[a-z_]+_test.go:|^ +built.go:/ {why = $0} /^--- SKIP/ {sub(/^ +[a-z_.]+:[0-9]+: /, "", why); print "skipped " $3 ": " why}' "$log"
exit "$failed"
