package natslog

import (
	"errors"
	"os"
	"syscall"
)

// datasync makes what was written to f durable, its size included, but not its
// times, which nobody reads: a few percent less than fsync on ext4
// (docs/perf/ingest-2026-11-23.txt). It is what PostgreSQL syncs its log with.
func datasync(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for {
			failed = syscall.Fdatasync(int(fd))
			if !errors.Is(failed, syscall.EINTR) {
				return
			}
		}
	})
	return errors.Join(err, failed)
}
