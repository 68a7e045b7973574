package provider

import (
	"os"
	"testing"
)

// TestKeyOnAFullDevice: a key that was not written whole is an error.
func TestKeyOnAFullDevice(t *testing.T) {
	if err := writeNew("/dev/full", os.O_WRONLY, 0o600, []byte("key")); err == nil {
		t.Errorf("writeNew(/dev/full) = nil; want an error")
	}
}
