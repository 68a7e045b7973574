//go:build unix

package replica

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockDir takes the directory for this process: two writers on one replica
// would each think that the other's rows are theirs.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock replica: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock replica %s: %w: another process uses it; give this one its own --data-dir", dir, err)
	}
	return func() { f.Close() }, nil
}
