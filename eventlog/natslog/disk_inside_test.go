package natslog

import (
	"os"
	"path/filepath"
	"testing"

	"rollcall/eventlog"
)

// TestSyncWithoutBlock: before the first record there is nothing to sync, and
// after it "nothing to sync" is no answer.
func TestSyncWithoutBlock(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "jetstream", "$G", "streams", eventlog.Stream, "msgs"), 0o750); err != nil {
		t.Fatal(err)
	}
	d, err := openDisk(root, flush{})
	if err != nil {
		t.Fatalf("openDisk of an empty log = %v; want nil", err)
	}
	if err := d.sync(); err == nil {
		t.Error("sync of an acknowledged record without a block = nil; want an error")
	}
	if err := os.WriteFile(d.path(1), []byte("record"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.sync(); err != nil {
		t.Errorf("sync of the first block = %v; want nil", err)
	}
}
