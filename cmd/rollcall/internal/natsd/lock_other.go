//go:build !unix

package natsd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// LockDir takes the data directory for this process with a file that must not
// exist yet: there is no flock here, so a crash leaves it behind.
func LockDir(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make data directory: %w; --data-dir names another", err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("data directory %s is in use; where no rollcall runs on it, remove %s", dir, path)
	}
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	return func() error { return errors.Join(f.Close(), os.Remove(path)) }, nil
}

// LockFile does nothing: there is no flock here.
func LockFile(*os.File) error { return nil }
