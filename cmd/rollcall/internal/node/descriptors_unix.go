//go:build unix

package node

import "golang.org/x/sys/unix"

// Descriptors is how many files the process may open at a time. Go raised the soft
// limit to the hard one when it started.
func Descriptors() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // what systems give at least
	}
	return uint64(limit.Cur) //nolint:unconvert // on FreeBSD it is an int64
}
