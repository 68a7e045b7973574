package natslog_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// power is a disk of which a power cut leaves what was synced: of each file its
// content then, of each directory the files that it listed then.
type power struct {
	t  testing.TB
	mu sync.Mutex
	// Files are kept open, so that a new one can't look like one that is gone.
	files   []durableFile
	folders map[string]map[string]os.FileInfo
}

type durableFile struct {
	held    *os.File
	info    os.FileInfo
	content []byte
}

// config has a log on node sync to p.
func (p *power) config(node *eventlogtest.Node, c natslog.Config) natslog.Config {
	c.StoreDir = node.Dir()
	return c.WithFlush(p.data, p.names)
}

func newPower(t testing.TB) *power {
	p := &power{t: t, folders: map[string]map[string]os.FileInfo{}}
	t.Cleanup(func() {
		for _, f := range p.files {
			_ = f.held.Close()
		}
	})
	return p
}

func (p *power) data(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	content, err := io.ReadAll(io.NewSectionReader(f, 0, info.Size()))
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.files {
		if os.SameFile(p.files[i].info, info) {
			p.files[i].content = content
			return nil
		}
	}
	held, err := os.Open(f.Name())
	if err != nil {
		return err
	}
	p.files = append(p.files, durableFile{held, info, content})
	return nil
}

func (p *power) names(f *os.File) error {
	names := list(f.Name())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.folders[f.Name()] = names
	return nil
}

// list is what a directory has.
func list(dir string) map[string]os.FileInfo {
	names := map[string]os.FileInfo{}
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil { // else it was removed meanwhile
			names[entry.Name()] = info
		}
	}
	if err != nil {
		return nil
	}
	return names
}

// check fails the test where a power cut now would lose a record of l, whether
// what changed in a directory since its last sync has reached the disk or not.
func (p *power) check(l *natslog.Log, records ...*eventlog.Record) {
	p.t.Helper()
	dir := filepath.Dir(l.NewestBlock())
	current := list(dir)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, names := range []map[string]os.FileInfo{p.folders[dir], current} {
		left := p.left(names)
		for _, r := range records {
			if !bytes.Contains(left, []byte(r.EventID)) {
				p.t.Errorf("record %s was answered for and is lost with the power", r.EventID)
			}
		}
	}
	for path := dir; filepath.Base(path) != "jetstream"; path = filepath.Dir(path) {
		now, err := os.Stat(path)
		if then := p.folders[filepath.Dir(path)][filepath.Base(path)]; err != nil || then == nil || !os.SameFile(now, then) {
			p.t.Errorf("the name of %s is lost with the power (%v)", path, err)
		}
	}
}

// left is what the blocks among names hold. p.mu is held.
func (p *power) left(names map[string]os.FileInfo) (left []byte) {
	for name, info := range names {
		for _, f := range p.files {
			if strings.HasSuffix(name, ".blk") && os.SameFile(f.info, info) {
				left = append(left, f.content...)
			}
		}
	}
	return left
}

// TestPowerCut holds the promise of a 200 against a disk that keeps nothing but
// what was synced: alone, in groups, and across blocks.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	node, p := eventlogtest.Server(t), newPower(t)
	l := open(t, node.JetStream(t), p.config(node, natslog.Config{}))
	for n := range 20 {
		appendAll(t, l, n, n+1)
		p.check(l, rec(n))
	}
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for n := range 20 {
				r := rec(1000 + worker*100 + n)
				if _, err := l.Append(t.Context(), r); err != nil {
					t.Errorf("Append = %v", err)
				}
				p.check(l, r)
			}
		})
	}
	wg.Wait()
	first := l.NewestBlock()
	for n := 5000; n < 5040; n++ {
		if _, err := l.Append(t.Context(), bulky(n)); err != nil {
			t.Fatal(err)
		}
		p.check(l, bulky(n))
	}
	if l.NewestBlock() == first {
		t.Error("all records went into one block: nothing is proven about others")
	}
}

// TestPowerCutAfterOpen has records that nobody synced: a repeat of one is
// answered as stored.
func TestPowerCutAfterOpen(t *testing.T) {
	t.Parallel()
	node, p := eventlogtest.Server(t), newPower(t)
	lazy := open(t, node.JetStream(t), natslog.Config{})
	var records []*eventlog.Record
	for n := range 40 {
		records = append(records, bulky(n))
		if _, err := lazy.Append(t.Context(), bulky(n)); err != nil {
			t.Fatal(err)
		}
	}
	l := open(t, node.JetStream(t), p.config(node, natslog.Config{}))
	if a, err := l.Append(t.Context(), bulky(3)); err != nil || !a.Duplicate {
		t.Errorf("Append of a repeat = %+v, %v; want a duplicate", a, err)
	}
	p.check(l, records...)
}

// TestPowerCutAfterCompaction has a copy put in the newest block's place, which
// nobody synced.
func TestPowerCutAfterCompaction(t *testing.T) {
	t.Parallel()
	node, p := eventlogtest.Server(t), newPower(t)
	l := open(t, node.JetStream(t), p.config(node, natslog.Config{}))
	appendAll(t, l, 0, 5)
	b, err := os.ReadFile(l.NewestBlock())
	if err != nil {
		t.Fatal(err)
	}
	copied := l.NewestBlock() + ".copy"
	if err := os.WriteFile(copied, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(copied, l.NewestBlock()); err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, 5, 6)
	p.check(l, rec(0), rec(4))
}

// TestPowerCutBesideRetention has two ingesters with a small log: blocks that
// one knows are filled and removed by the other's records.
func TestPowerCutBesideRetention(t *testing.T) {
	t.Parallel()
	node, p := eventlogtest.Server(t), newPower(t)
	one := open(t, node.JetStream(t), p.config(node, natslog.Config{MaxBytes: 20 << 20}))
	two := open(t, node.JetStream(t), natslog.Config{})
	for round := range 6 {
		r := rec(round)
		if _, err := one.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		p.check(one, r)
		for n := range round * 20 {
			if _, err := two.Append(t.Context(), bulky(1000+round*200+n)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSystemFlush: what is used without a test's own does ask the system, which
// can't sync a pipe.
func TestSystemFlush(t *testing.T) {
	node := eventlogtest.Server(t)
	open(t, node.JetStream(t), natslog.Config{})
	data, names, err := natslog.SystemFlush(node.Dir())
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for name, flush := range map[string]func(*os.File) error{"data": data, "names": names} {
		if err := flush(r); err == nil {
			t.Errorf("flush of %s of a pipe = %v; want the system's refusal", name, err)
		}
		f, err := os.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := flush(f); err != nil {
			t.Errorf("flush of %s of a directory = %v", name, err)
		}
		f.Close()
	}
}

// TestFlushFails: no answer where the system could not sync, and none later.
func TestFlushFails(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"data", "names"} {
		t.Run(what, func(t *testing.T) {
			node, p := eventlogtest.Server(t), newPower(t)
			var broken error
			fail := func(name string, flush func(*os.File) error) func(*os.File) error {
				return func(f *os.File) error {
					if name == what && broken != nil {
						return broken
					}
					return flush(f)
				}
			}
			c := p.config(node, natslog.Config{})
			l := open(t, node.JetStream(t), c.WithFlush(fail("data", p.data), fail("names", p.names)))
			appendAll(t, l, 0, 1)
			broken = fmt.Errorf("input/output error")
			n := 1
			for ; n < 40; n++ { // a new block's name is the first that is synced
				if _, err := l.Append(t.Context(), bulky(n)); err != nil {
					break
				}
				p.check(l, bulky(n))
			}
			broken = nil
			if _, err := l.Append(t.Context(), rec(n+1)); err == nil {
				t.Errorf("Append after a failed flush of %s = %v; want an error for good", what, err)
			}
		})
	}
}

// TestOpenNeedsNames: a folder that can't be synced at open is an error, whichever it is.
func TestOpenNeedsNames(t *testing.T) {
	node, p := eventlogtest.Server(t), newPower(t)
	broken := errors.New("input/output error")
	for nth := 1; ; nth++ {
		folders := 0
		c := p.config(node, natslog.Config{}).WithFlush(p.data, func(f *os.File) error {
			if folders++; folders == nth {
				return broken
			}
			return p.names(f)
		})
		l, err := natslog.Open(t.Context(), node.JetStream(t), c)
		if err == nil {
			l.Close()
		}
		if folders < nth { // all were tried
			if nth < 3 || err != nil {
				t.Errorf("Open syncs %d folders, %v; want the log's and those above it", folders, err)
			}
			return
		}
		if !errors.Is(err, broken) {
			t.Errorf("Open where folder %d can't be synced = %v; want %v", nth, err, broken)
		}
	}
}
