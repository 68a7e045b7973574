package node

import (
	"time"

	"golang.org/x/sys/unix"
)

// Monotonic is the machine's CLOCK_MONOTONIC, which a service manager compares with its own.
func Monotonic() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}

// diskSpace is what a directory's disk holds, and what of it the program may still write.
func diskSpace(dir string) (size, free uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	block := uint64(s.Bsize) //nolint:gosec // a block's size is above 0
	return s.Blocks * block, s.Bavail * block, nil
}
