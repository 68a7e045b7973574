package natslog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

func jetStream(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// sequences reads to the end and returns what came.
func sequences(t testing.TB, l *natslog.Log, o eventlog.ReadOptions) (seqs []eventlog.Seq, err error) {
	t.Helper()
	for r, err := range l.Read(t.Context(), o) {
		if err != nil {
			return seqs, err
		}
		seqs = append(seqs, r.Seq)
	}
	return seqs, nil
}

func between(after, upTo eventlog.Seq) (seqs []eventlog.Seq) {
	for s := after + 1; s <= upTo; s++ {
		seqs = append(seqs, s)
	}
	return seqs
}

func TestReadRanges(t *testing.T) {
	l := open(t, eventlogtest.Connect(t), natslog.Config{})
	if got, err := sequences(t, l, eventlog.ReadOptions{}); err != nil || got != nil {
		t.Errorf("Read of an empty log = %v, %v; want nothing", got, err)
	}
	appendAll(t, l, 0, 100)
	tests := []struct {
		options eventlog.ReadOptions
		want    []eventlog.Seq
	}{
		{eventlog.ReadOptions{}, between(0, 100)},
		{eventlog.ReadOptions{After: 40}, between(40, 100)},
		{eventlog.ReadOptions{After: 100}, nil},
		{eventlog.ReadOptions{After: 10, UpTo: 20}, between(10, 20)},
		{eventlog.ReadOptions{After: 10, UpTo: 20, Follow: true}, between(10, 20)},
		{eventlog.ReadOptions{After: 20, UpTo: 10}, nil},
		{eventlog.ReadOptions{Slices: []int{}}, nil},
	}
	for _, test := range tests {
		got, err := sequences(t, l, test.options)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("Read(%+v) = %v, %v; want %v", test.options, got, err, test.want)
		}
	}
}

func TestReadSlices(t *testing.T) {
	l := open(t, eventlogtest.Connect(t), natslog.Config{})
	appendAll(t, l, 0, 100)
	for _, wanted := range [][]int{{eventlog.Slice("m3")}, {eventlog.Slice("m1"), eventlog.Slice("m2"), eventlog.Slice("m1")}, {eventlog.Slice("nobody")}} {
		var want []eventlog.Seq
		for n := range 100 {
			if slices.Contains(wanted, eventlog.Slice(fmt.Sprintf("m%d", n%7))) {
				want = append(want, eventlog.Seq(n+1))
			}
		}
		got, err := sequences(t, l, eventlog.ReadOptions{Slices: wanted})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("Read(slices %v) = %v, %v; want %v", wanted, got, err, want)
		}
		limited := slices.DeleteFunc(slices.Clone(want), func(s eventlog.Seq) bool { return s <= 20 || s > 50 })
		got, err = sequences(t, l, eventlog.ReadOptions{Slices: wanted, After: 20, UpTo: 50})
		if err != nil || !slices.Equal(got, limited) {
			t.Errorf("Read(slices %v, 20 to 50) = %v, %v; want %v", wanted, got, err, limited)
		}
	}
}

// follower pulls records one by one.
type follower struct {
	next func() (eventlog.Record, error, bool)
	stop func()
}

func follow(t testing.TB, ctx context.Context, l *natslog.Log, o eventlog.ReadOptions) follower {
	o.Follow = true
	next, stop := iter.Pull2(l.Read(ctx, o))
	t.Cleanup(stop)
	return follower{next, stop}
}

func (f follower) expect(t testing.TB, want ...eventlog.Seq) {
	t.Helper()
	for _, seq := range want {
		r, err, ok := f.next()
		if err != nil || !ok || r.Seq != seq {
			t.Fatalf("next record = %d, %v, %v; want %d", r.Seq, err, ok, seq)
		}
	}
}

func (f follower) expectError(t testing.TB, want error) {
	t.Helper()
	r, err, _ := f.next()
	if !errors.Is(err, want) {
		t.Errorf("next record = %d, %v; want error %v", r.Seq, err, want)
	}
	if _, _, ok := f.next(); ok {
		t.Error("the read goes on after its error")
	}
}

func TestReadFollowsAcrossRestart(t *testing.T) {
	node := eventlogtest.Server(t)
	l := open(t, node.JetStream(t), natslog.Config{})
	appendAll(t, l, 0, 10)
	f := follow(t, t.Context(), l, eventlog.ReadOptions{After: 5})
	f.expect(t, between(5, 10)...)
	appendAll(t, l, 10, 12)
	f.expect(t, 11, 12)
	node.Restart(t)
	eventually(t, func() error { _, err := l.Append(t.Context(), rec(12)); return err })
	f.expect(t, 13)
	node.Stop(t)
	node.Start(t)
	eventually(t, func() error { _, err := l.Append(t.Context(), rec(13)); return err })
	f.expect(t, 14)
}

// TestReadAcrossReconnect proves that records lost on the way to a client whose
// connection breaks are read again: the server's consumer lives on after them.
func TestReadAcrossReconnect(t *testing.T) {
	node := eventlogtest.Server(t)
	writer := open(t, node.JetStream(t), natslog.Config{})
	appendAll(t, writer, 0, 50)
	nc := node.ConnectTCP(t)
	l, err := natslog.Attach(t.Context(), jetStream(t, nc))
	if err != nil {
		t.Fatal(err)
	}
	f := follow(t, t.Context(), l, eventlog.ReadOptions{})
	f.expect(t, between(0, 20)...)
	for i := range 5 {
		from := 50 + i*10
		if err := nc.ForceReconnect(); err != nil {
			t.Fatal(err)
		}
		appendAll(t, writer, from, from+10)
	}
	f.expect(t, between(20, 100)...)
}

func TestReadEndsWithContext(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	node := eventlogtest.Server(t)
	t.Cleanup(func() { node.Stop(t) })
	nc := node.Connect(t)
	defer nc.Close()
	l := open(t, jetStream(t, nc), natslog.Config{})
	appendAll(t, l, 0, 1)
	ctx, cancel := context.WithCancel(t.Context())
	f := follow(t, ctx, l, eventlog.ReadOptions{})
	f.expect(t, 1)
	cancel()
	f.expectError(t, context.Canceled)
	stopped := follow(t, t.Context(), l, eventlog.ReadOptions{})
	stopped.expect(t, 1)
	stopped.stop()
	s, err := jetStream(t, nc).Stream(t.Context(), eventlog.Stream)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		in, err := s.Info(t.Context())
		if err == nil && in.State.Consumers != 0 {
			return fmt.Errorf("%d consumers are left", in.State.Consumers)
		}
		return err
	})
	nc.Close()
	node.Stop(t)
}

func TestReadDetectsTrimmed(t *testing.T) {
	node := eventlogtest.Server(t)
	js := node.JetStream(t)
	l := open(t, js, natslog.Config{})
	appendAll(t, l, 0, 20)
	f := follow(t, t.Context(), l, eventlog.ReadOptions{After: 0, UpTo: 20})
	f.expect(t, 1, 2, 3)
	eventlogtest.Limit(t, js, eventlog.Stream, 5)
	for _, after := range []eventlog.Seq{0, 14} {
		says := fmt.Sprintf("begins at 16, next is %d", after+1)
		if got, err := sequences(t, l, eventlog.ReadOptions{After: after}); !errors.Is(err, eventlog.ErrTrimmed) || !strings.Contains(err.Error(), says) {
			t.Errorf("Read(after %d) of a log that begins at 16 = %v, %v; want ErrTrimmed: %s", after, got, err, says)
		}
	}
	every := make([]int, eventlog.Slices)
	for i := range every {
		every[i] = i
	}
	if got, err := sequences(t, l, eventlog.ReadOptions{After: 14, Slices: every}); !errors.Is(err, eventlog.ErrTrimmed) {
		t.Errorf("Read(after 14) of the slices of a log that begins at 16 = %v, %v; want ErrTrimmed", got, err)
	}
	if got, err := sequences(t, l, eventlog.ReadOptions{After: 21}); !errors.Is(err, eventlog.ErrLostTail) {
		t.Errorf("Read(after 21) of a log that ends at 20 = %v, %v; want ErrLostTail", got, err)
	}
	if got, err := sequences(t, l, eventlog.ReadOptions{After: 15}); err != nil || !slices.Equal(got, between(15, 20)) {
		t.Errorf("Read(after 15) = %v, %v; want 16 to 20", got, err)
	}
}

func TestReadDetectsNewIncarnation(t *testing.T) {
	node := eventlogtest.Server(t)
	js := node.JetStream(t)
	l := open(t, js, natslog.Config{})
	appendAll(t, l, 0, 5)
	f := follow(t, t.Context(), l, eventlog.ReadOptions{})
	f.expect(t, between(0, 5)...)
	if err := js.DeleteStream(t.Context(), eventlog.Stream); err != nil {
		t.Fatal(err)
	}
	again := open(t, js, natslog.Config{})
	appendAll(t, again, 100, 110)
	f.expectError(t, eventlog.ErrIncarnation)
	if _, err := sequences(t, l, eventlog.ReadOptions{}); !errors.Is(err, eventlog.ErrIncarnation) {
		t.Errorf("Read through the old log = %v; want ErrIncarnation", err)
	}
}

// TestReadDetectsLostTail puts an older copy of the server's directory back, as
// a power loss under a lazy sync does: the last sequences are free again.
func TestReadDetectsLostTail(t *testing.T) {
	t.Parallel()
	for _, reused := range []int{0, 3, 20} {
		t.Run(fmt.Sprintf("%d sequences used again", reused), func(t *testing.T) {
			node := eventlogtest.Server(t)
			l := open(t, node.JetStream(t), natslog.Config{})
			appendAll(t, l, 0, 10)
			node.Stop(t)
			saved := t.TempDir()
			copyDir(t, node.Dir(), saved)
			node.Start(t)
			eventually(t, func() error { _, err := l.Append(t.Context(), rec(10)); return err })
			appendAll(t, l, 11, 15)
			f := follow(t, t.Context(), l, eventlog.ReadOptions{})
			f.expect(t, between(0, 15)...)
			last, err := l.Record(t.Context(), 15)
			if err != nil {
				t.Fatal(err)
			}
			// One that has yielded nothing yet knows the past from who read before.
			idle := follow(t, t.Context(), l, eventlog.ReadOptions{After: 15, AfterStoredAt: last.StoredAt})
			node.Stop(t)
			if err := os.RemoveAll(node.Dir()); err != nil {
				t.Fatal(err)
			}
			copyDir(t, saved, node.Dir())
			// The reader must not reach the server before the sequences are used
			// again, so they are used by a server of another port.
			if reused > 0 {
				other := eventlogtest.Server(t, eventlogtest.Options{Dir: node.Dir()})
				appendAll(t, open(t, other.JetStream(t), natslog.Config{}), 500, 500+reused)
				other.Stop(t)
			}
			node.Start(t)
			f.expectError(t, eventlog.ErrLostTail)
			idle.expectError(t, eventlog.ErrLostTail)
		})
	}
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // of a stream that was deleted and is still being removed
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestImportKeepsRecords(t *testing.T) {
	t.Parallel()
	from := open(t, eventlogtest.Connect(t), natslog.Config{})
	for n := range 2500 {
		r := rec(n % 1200) // repeats too: in the log they are records like others
		r.EventID, r.DeliveryID = fmt.Sprint(n), ""
		if n%3 == 0 {
			r.DeliveryID, r.Body, r.Encoding = "u", append(r.Body, '\xff', byte(n)), "gzip"
		}
		if _, err := from.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	export := exported(t, from)
	to := open(t, eventlogtest.Connect(t), natslog.Config{})
	n, err := to.Import(t.Context(), natslog.ReadNDJSON(bytes.NewReader(export)))
	if err != nil {
		t.Fatal(err)
	}
	h, err := from.Head(t.Context())
	if err != nil || n != int(h.Last) {
		t.Errorf("Import = %d records; want %d (%v)", n, h.Last, err)
	}
	again := exported(t, to)
	if !bytes.Equal(export, again) {
		t.Errorf("export of the import has %d bytes and differs from the %d bytes imported", len(again), len(export))
	}
	if _, err := to.Import(t.Context(), natslog.ReadNDJSON(bytes.NewReader(export))); !errors.Is(err, eventlog.ErrNotEmpty) {
		t.Errorf("second Import = %v; want ErrNotEmpty", err)
	}
}

// exported is a log as an export has it.
func exported(t *testing.T, l *natslog.Log) (export []byte) {
	t.Helper()
	for r, err := range l.Read(t.Context(), eventlog.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if export, err = natslog.AppendNDJSON(export, &r); err != nil {
			t.Fatal(err)
		}
	}
	return export
}

// TestImportKeepsWhatHasNoHeaders: who may append can publish without our
// headers, or with others. A log that holds such a record is exported and
// imported like any other.
func TestImportKeepsWhatHasNoHeaders(t *testing.T) {
	js := eventlogtest.Connect(t)
	from := open(t, js, natslog.Config{})
	for _, h := range []nats.Header{nil, {natslog.HeaderID: {"e"}, natslog.HeaderTime: {"yesterday"}}, {natslog.HeaderType: {"%FF"}}, {natslog.HeaderTime: {"0001-01-01T00:00:00Z"}}, {natslog.HeaderID: {strings.Repeat("x", 5000)}}} {
		m := &nats.Msg{Subject: "meetings.5.meeting.started", Header: h, Data: []byte(`{"event":"meeting.started","meeting":{"sessionId":"s"}}`)}
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	export := exported(t, from)
	to := open(t, eventlogtest.Connect(t), natslog.Config{})
	if n, err := to.Import(t.Context(), natslog.ReadNDJSON(bytes.NewReader(export))); n != 5 || err != nil {
		t.Fatalf("Import(%s) = %d, %v; want 5 records", export, n, err)
	}
	if again := exported(t, to); !bytes.Equal(export, again) {
		t.Errorf("export of the import is %s; want %s", again, export)
	}
}

func TestImportRefusesNonsense(t *testing.T) {
	l := open(t, eventlogtest.Connect(t), natslog.Config{})
	for _, in := range []string{"{", "[]", `{"a":1}`, `{"receivedAt":"2026-01-01T00:00:00Z"}`, `{"eventId":null,"receivedAt":"2026-01-01T00:00:00Z"}`, `{"eventId":"e"}`, `{"eventId":"e","receivedAt":"yesterday"}`, `{"eventId":"e","receivedAt":"2026-01-01T00:00:00Z","bodyBase64":"%"}`} {
		if n, err := l.Import(t.Context(), natslog.ReadNDJSON(bytes.NewReader([]byte(in)))); err == nil || n != 0 {
			t.Errorf("Import(%s) = %d, %v; want an error", in, n, err)
		}
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "a b", "%41", "\x00\r\n", "w\u00e9", `"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := natslog.Escape(s)
		for i := range len(e) {
			if e[i] <= ' ' || e[i] >= 0x7f {
				t.Errorf("escape(%q) = %q; want printable ASCII", s, e)
			}
		}
		if got := natslog.Unescape(e); got != s {
			t.Errorf("unescape(escape(%q)) = %q", s, got)
		}
	})
}
