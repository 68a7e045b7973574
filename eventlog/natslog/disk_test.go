package natslog_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// openSynced opens a log whose files are synced by ourselves.
func openSynced(t testing.TB, node *eventlogtest.Node, c natslog.Config) *natslog.Log {
	t.Helper()
	c.StoreDir = node.Dir()
	return open(t, node.JetStream(t), c)
}

// TestDiskLayout proves what disk.go relies on: a record stands in the newest
// block file when its append returns, across many blocks.
func TestDiskLayout(t *testing.T) {
	t.Parallel()
	node := eventlogtest.Server(t)
	l := openSynced(t, node, natslog.Config{})
	blocks := map[string]bool{}
	for n := range 60 {
		r := rec(n)
		r.Body = append(r.Body, bytes.Repeat([]byte{'x'}, 500<<10)...)
		if _, err := l.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		newest := l.NewestBlock()
		blocks[newest] = true
		b, err := os.ReadFile(newest)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte(r.EventID)) {
			t.Fatalf("record %d is not in %s, which was synced last", n, newest)
		}
	}
	if len(blocks) < 3 {
		t.Errorf("the records filled %d blocks; want several, to prove anything", len(blocks))
	}
	all, err := filepath.Glob(filepath.Join(filepath.Dir(l.NewestBlock()), "*.blk"))
	if err != nil || len(all) != len(blocks) {
		t.Errorf("%d block files, %d were synced (%v)", len(all), len(blocks), err)
	}
}

func TestSyncedGroups(t *testing.T) {
	node := eventlogtest.Server(t)
	l := openSynced(t, node, natslog.Config{})
	const n = 2000
	var records []*eventlog.Record
	for i := range n {
		records = append(records, rec(i), rec(i)) // and each a second time
	}
	answers := together(t, l, records...)
	found := collect(t, l)
	stored := 0
	for i, a := range answers {
		if a.err != nil || a.Seq != found[records[i].EventID] {
			t.Fatalf("Append(%d) = %+v, %v; the log has it at %d", i, a.Appended, a.err, found[records[i].EventID])
		}
		if !a.Duplicate {
			stored++
		}
	}
	if len(found) != n || stored != n {
		t.Errorf("the log holds %d records, %d answers say stored; want %d", len(found), stored, n)
	}
	if s := l.Stats(); s.Syncs == 0 || s.Syncs > n/4 || s.Batches != 0 {
		t.Errorf("Stats = %+v; want few syncs and no atomic batch", s)
	}
	in, err := l.Info(t.Context())
	if err != nil || !in.Synced || !strings.Contains(in.Durability, "fsynced") {
		t.Errorf("Info = %+v, %v; want synced", in, err)
	}
}

func TestSyncedAcrossRestart(t *testing.T) {
	node := eventlogtest.Server(t)
	l := openSynced(t, node, natslog.Config{})
	appendAll(t, l, 0, 10)
	node.Restart(t)
	eventually(t, func() error { _, err := l.Append(t.Context(), rec(10)); return err })
	again := openSynced(t, node, natslog.Config{})
	a, err := again.Append(t.Context(), rec(3))
	if want := (eventlog.Appended{Seq: 4, EventID: rec(3).EventID, Duplicate: true}); err != nil || a != want {
		t.Errorf("Append of a repeat = %+v, %v; want %+v", a, err, want)
	}
	got, err := sequences(t, again, eventlog.ReadOptions{})
	if err != nil || !slices.Equal(got, between(0, 11)) {
		t.Errorf("Read = %v, %v; want 1 to 11", got, err)
	}
}

// TestSyncedFollowsExpiry removes all blocks under the sync's feet.
func TestSyncedFollowsExpiry(t *testing.T) {
	t.Parallel()
	node := eventlogtest.Server(t)
	l := openSynced(t, node, natslog.Config{MaxBytes: 4 << 20})
	for n := range 60 {
		r := rec(n)
		r.Body = append(r.Body, bytes.Repeat([]byte{'x'}, 500<<10)...)
		if _, err := l.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(l.NewestBlock())
		if err != nil || !bytes.Contains(b, []byte(r.EventID)) {
			t.Fatalf("record %d is not in %s (%v)", n, l.NewestBlock(), err)
		}
	}
}

func TestSyncFails(t *testing.T) {
	node := eventlogtest.Server(t)
	l := openSynced(t, node, natslog.Config{})
	appendAll(t, l, 0, 1)
	broken := errors.New("input/output error")
	l.FailSync(broken)
	for n := range 3 {
		if _, err := l.Append(t.Context(), rec(1)); !errors.Is(err, eventlog.ErrUnavailable) || !errors.Is(err, broken) {
			t.Errorf("Append %d after a failed sync = %v; want ErrUnavailable and why", n, err)
		}
	}
}

func TestStoreDirOfNobody(t *testing.T) {
	node := eventlogtest.Server(t)
	_, err := natslog.Open(t.Context(), node.JetStream(t), natslog.Config{StoreDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "store directory") {
		t.Errorf("Open with another's store directory = %v; want an error that says so", err)
	}
}

// TestSyncedAckLost has acks missing in a group: the others are answered.
func TestSyncedAckLost(t *testing.T) {
	node := eventlogtest.Server(t)
	l := openSynced(t, node, natslog.Config{Batch: natslog.BatchConfig{Timeout: time.Second}})
	l.DropAcks(true)
	if _, err := l.Append(t.Context(), rec(1)); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("Append without an ack = %v; want ErrUnavailable", err)
	}
	l.DropAcks(false)
	err := eventlogtest.Steadily(func() (err error) {
		for i, a := range together(t, l, rec(1), rec(2), rec(3)) {
			if a.err != nil || a.EventID != rec(i+1).EventID {
				err = fmt.Errorf("Append(%d) = %+v, %w; want its first id", i, a.Appended, a.err)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(len(collect(t, l))); got != "3" {
		t.Errorf("the log holds %s records; want 3", got)
	}
}
