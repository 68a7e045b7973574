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
	d, err := openDisk(root, "", flush{})
	if err != nil {
		t.Fatalf("openDisk of an empty log = %v; want nil", err)
	}
	if err := d.sync(""); err == nil {
		t.Error("sync of an acknowledged record without a block = nil; want an error")
	}
	if err := os.WriteFile(d.path(1), []byte("record"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.sync(""); err != nil {
		t.Errorf("sync of the first block = %v; want nil", err)
	}
}

// TestSyncAfterServerRestart: a server that starts again removes a newest block
// in which nothing whole was written, and then writes to the one before.
func TestSyncAfterServerRestart(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "jetstream", "$G", "streams", eventlog.Stream, "msgs"), 0o750); err != nil {
		t.Fatal(err)
	}
	d, err := openDisk(root, "one run", flush{})
	if err != nil {
		t.Fatal(err)
	}
	for _, index := range []int{1, 2} {
		if err := os.WriteFile(d.path(index), []byte("record"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.sync("one run"); err != nil || d.index != 2 {
		t.Fatalf("sync = %v, newest block %d; want 2", err, d.index)
	}
	if err := os.Remove(d.path(2)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.sync("another"); err != nil || d.index != 1 {
			t.Fatalf("sync after the server started again = %v, newest block %d; want 1", err, d.index)
		}
	}
	if err := os.WriteFile(d.path(2), []byte("record"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.sync("another"); err != nil || d.index != 2 {
		t.Fatalf("sync = %v, newest block %d; want 2", err, d.index)
	}
	if err := os.Remove(d.path(2)); err != nil {
		t.Fatal(err)
	}
	if err := d.sync(""); err == nil {
		t.Error("sync with the newest block gone under a running server = nil; want an error")
	}
}
