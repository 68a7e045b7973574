package console

import (
	"bytes"
	"errors"
	"os"
)

// ReadSmallFile reads a file that the operator named, with a bound.
func ReadSmallFile(what, path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, Usagef("read %s: %w; check the path", what, err)
	}
	if info.Size() > 1<<20 {
		return nil, Usagef("read %s: %s has %d bytes; want at most 1 MiB", what, path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, Usagef("read %s: %w; check its permissions", what, err)
	}
	return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), nil
}

// ReadFileRaw reads a file that is sent as it is.
func ReadFileRaw(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, Usagef("read %s: %w; check the path", path, errors.Unwrap(err))
	}
	return b, nil
}
