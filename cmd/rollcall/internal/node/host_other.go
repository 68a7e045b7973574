//go:build !linux

package node

import (
	"errors"
	"time"
)

// Monotonic is 0 where no service manager asks for it.
func Monotonic() time.Duration { return 0 }

// diskSpace is not known here.
func diskSpace(string) (size, free uint64, err error) { return 0, 0, errors.ErrUnsupported }
