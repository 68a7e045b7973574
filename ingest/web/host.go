package web

import (
	"net"
	"slices"
	"strings"
)

// Loopback reports whether an address to listen on, host:port, can be reached from
// this host alone. A name other than localhost is none: it may come to mean
// something else.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// KnownHost reports whether a Host header can't be the work of DNS rebinding: an
// address, localhost, or one of the names.
func KnownHost(host string, names []string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	return name == "localhost" || net.ParseIP(name) != nil || slices.Contains(names, name)
}
