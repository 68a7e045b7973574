//go:build !linux

package main

import (
	"errors"
	"time"
)

// monotonic is 0 where no service manager asks for it.
func monotonic() time.Duration { return 0 }

// diskSpace is not known here.
func diskSpace(string) (size, free uint64, err error) { return 0, 0, errors.ErrUnsupported }
