package natslog_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// bulky is rec(n) with a body of half a megabyte: sixteen fill a block.
func bulky(n int) *eventlog.Record {
	r := rec(n)
	r.Body = append(r.Body, bytes.Repeat([]byte{'x'}, 500<<10)...)
	return r
}

// synced fails the test where r is not in the file that was synced last.
func synced(t testing.TB, l *natslog.Log, r *eventlog.Record) {
	t.Helper()
	b, err := os.ReadFile(l.NewestBlock())
	if err != nil || !bytes.Contains(b, []byte(r.EventID)) {
		t.Fatalf("record %s is not in %s, which was synced last (%v)", r.EventID, l.NewestBlock(), err)
	}
}

// TestSyncedBesideAnother has another ingester fill blocks, and retention remove
// them, while this one is idle: the block that it knows is gone, and the next.
func TestSyncedBesideAnother(t *testing.T) {
	t.Parallel()
	node := eventlogtest.Server(t)
	l := openSynced(t, node, natslog.Config{MaxBytes: 4 << 20})
	appendAll(t, l, 0, 1)
	other := open(t, node.JetStream(t), natslog.Config{})
	for round := range 3 {
		for n := range 60 {
			if _, err := other.Append(t.Context(), bulky(1000+round*100+n)); err != nil {
				t.Fatal(err)
			}
		}
		r := rec(1 + round)
		if _, err := l.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		synced(t, l, r)
	}
}

// TestSyncedBelowOneFlight has retention remove records before they are synced.
func TestSyncedBelowOneFlight(t *testing.T) {
	t.Parallel()
	node := eventlogtest.Server(t)
	l := openSynced(t, node, natslog.Config{MaxBytes: 400 << 10})
	for n := range 40 {
		if _, err := l.Append(t.Context(), bulky(n)); err != nil {
			t.Fatalf("Append(%d) of a record larger than --max-bytes = %v; want it taken", n, err)
		}
	}
	small := rec(1000)
	if _, err := l.Append(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	synced(t, l, small)
}

// TestSyncedWithoutBlock removes files under a running server, which goes on
// writing into what nobody will ever read again.
func TestSyncedWithoutBlock(t *testing.T) {
	for name, remove := range map[string]func(newest string) error{
		"newest block":  os.Remove,
		"the directory": func(newest string) error { return os.RemoveAll(filepath.Dir(newest)) },
	} {
		t.Run(name, func(t *testing.T) {
			node := eventlogtest.Server(t)
			l := openSynced(t, node, natslog.Config{})
			for n := range 20 {
				if _, err := l.Append(t.Context(), bulky(n)); err != nil {
					t.Fatal(err)
				}
			}
			if err := remove(l.NewestBlock()); err != nil {
				t.Fatal(err)
			}
			for n := 20; n < 23; n++ {
				if a, err := l.Append(t.Context(), rec(n)); !errors.Is(err, eventlog.ErrUnavailable) {
					t.Errorf("Append(%d) with %s gone = %+v, %v; want ErrUnavailable", n, name, a, err)
				}
			}
			if a, err := l.Append(t.Context(), rec(20)); !errors.Is(err, eventlog.ErrUnavailable) {
				t.Errorf("Append of a repeat with %s gone = %+v, %v; want ErrUnavailable", name, a, err)
			}
		})
	}
}
