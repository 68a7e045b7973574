package main

import (
	"net"

	"github.com/dustin/go-humanize"

	"rollcall/cmd/rollcall/internal/console"
)

// loopback reports whether an address to listen on can be reached from this
// machine alone. A name is none: it may come to mean something else.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

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
