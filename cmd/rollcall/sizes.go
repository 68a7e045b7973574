package main

import (
	"github.com/dustin/go-humanize"

	"rollcall/cmd/rollcall/internal/console"
)

// parseBytes reads a size like 64MiB; -1 means no limit.
func parseBytes(flag, s string) (int64, error) {
	if s == "-1" {
		return -1, nil
	}
	n, err := humanize.ParseBytes(s)
	if err != nil || n > 1<<62 {
		return 0, console.Usagef("--%s %q: want a size like 512MiB", flag, s)
	}
	return int64(n), nil
}
