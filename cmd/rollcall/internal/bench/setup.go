package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/provider"
)

// nothingKept is what an interrupted measurement in a directory of its own leaves.
const nothingKept = "nothing was measured to its end, and the directory of the measurement was removed"

// inDir measures in a directory of its own below parent, and removes it.
func inDir(a *console.IO, parent string, measure func(dir string) error) error {
	dir, err := os.MkdirTemp(parent, "rollcall-bench-")
	if err != nil {
		return fmt.Errorf("make directory: %w; check --dir", err)
	}
	err = measure(dir)
	return a.Left(errors.Join(err, os.RemoveAll(dir)), nothingKept)
}

// newKey makes a key pair and leaves the public half in dir, for a source.
func newKey(dir string) (key provider.Key, path string, err error) {
	if key, err = provider.NewKey(); err != nil {
		return key, "", err
	}
	public, err := key.Public()
	if err != nil {
		return key, "", err
	}
	path = filepath.Join(dir, "public.pem")
	if err := os.WriteFile(path, public, 0o600); err != nil {
		return key, "", fmt.Errorf("write key: %w", err)
	}
	return key, path, nil
}

// thisProgram is the file of the program that runs.
func thisProgram() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	return path, nil
}
