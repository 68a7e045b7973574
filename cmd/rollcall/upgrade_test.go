package main

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/natsd"
	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/wire"
	"rollcall/projector/viewstore"
)

// TestUpgrade opens the data directories that earlier builds have left, one archive
// each (testdata/upgrade/make.sh), whole and with a log whose begin was removed. A
// view of the fold's version goes on as it is; of any other the program says what
// to run, and --auto-rebuild does it.
func TestUpgrade(t *testing.T) {
	if testing.Short() {
		t.Skip("starts several processes for each archive")
	}
	archives, err := filepath.Glob("testdata/upgrade/*.tar.zst")
	if err != nil || len(archives) < 2 {
		t.Fatalf("archives = %v, %v; want at least two", archives, err)
	}
	for _, archive := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(archive), ".tar.zst"), func(t *testing.T) {
			t.Parallel()
			t.Run("whole", func(t *testing.T) { upgradeWhole(t, unpack(t, archive)) })
			t.Run("trimmed", func(t *testing.T) { upgradeTrimmed(t, unpack(t, archive)) })
		})
	}
}

// unpack extracts an archive and returns its folder: data and views.
func unpack(t *testing.T, archive string) (dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	dir = t.TempDir()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err == nil {
			err = unpackOne(filepath.Join(dir, filepath.FromSlash(h.Name)), h, r)
		}
		if err != nil {
			t.Fatalf("unpack %s: %v", archive, err)
		}
	}
}

func unpackOne(path string, h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeDir {
		return os.MkdirAll(path, 0o750)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// upgraded is a data directory that this build opened for the first time.
type upgraded struct {
	*process
	dir     string
	views   *viewstore.Reader
	before  map[string]viewstore.Alias
	printed map[string]string // what the build before printed of each view
}

func openUpgrade(t *testing.T, dir string) *upgraded {
	t.Helper()
	u := &upgraded{dir: dir, before: map[string]viewstore.Alias{}, printed: map[string]string{}}
	u.process = startServe(t, "new", "--data-dir", dir+"/data", "--nats-listen", "127.0.0.1:0")
	u.views = viewstore.NewReader(readerOf(t, u.at.NATS))
	for _, view := range viewNames() {
		b, err := os.ReadFile(filepath.Join(dir, "views", view))
		if errors.Is(err, os.ErrNotExist) {
			continue // made since
		}
		if err != nil {
			t.Fatal(err)
		}
		if u.before[view], err = u.views.Alias(t.Context(), view); err != nil {
			t.Fatal(err)
		}
		u.printed[view] = string(b)
	}
	return u
}

// readerOf is a connection to the server of a process.
func readerOf(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, js, err := attach.ClientFlags{NATSURL: url}.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return js
}

// judge holds each view against what the fold's version asks for, and reports whether
// one has to be rebuilt.
func (u *upgraded) judge(t *testing.T) (due bool) {
	t.Helper()
	for _, fold := range allFolds() {
		view, was := fold.Name(), u.before[fold.Name()]
		if was.Version == "" {
			continue
		}
		if got := cliCommand(t, "views", "get", view, "--nats-url", u.at.NATS); got != u.printed[view] {
			t.Errorf("view %s of the build before reads\n%.300s\nwant as it was\n%.300s", view, got, u.printed[view])
		}
		if was.Version == fold.Version() {
			u.waitSays(t, view, "live, ")
			continue
		}
		due = true
		u.waitSays(t, view, "failed: ")
		if got := u.says(view); !strings.HasPrefix(got, "failed: ") || !strings.Contains(got, "rollcall rebuild "+view) || !strings.Contains(got, "--auto-rebuild") {
			t.Errorf("view %s of version %s, not %s: /readyz says %q; want what to run", view, was.Version, fold.Version(), got)
		}
	}
	return due
}

// rebuilt starts with --auto-rebuild, and waits until each view is of this build's version.
func (u *upgraded) rebuilt(t *testing.T) {
	t.Helper()
	u.stop()
	u.process = startServe(t, "auto", "--data-dir", u.dir+"/data", "--nats-listen", "127.0.0.1:0", "--auto-rebuild")
	u.views = viewstore.NewReader(readerOf(t, u.at.NATS))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, fold := range allFolds() {
		for {
			a, err := u.views.Alias(ctx, fold.Name())
			if err == nil && a.Version == fold.Version() && u.active(fold.Name()) {
				break
			}
			if wire.Pause(ctx, 20*time.Millisecond) != nil {
				t.Fatalf("view %s with --auto-rebuild is of version %s, %v; want %s; /readyz says %q", fold.Name(), a.Version, err, fold.Version(), u.says(fold.Name()))
			}
		}
		was := u.before[fold.Name()]
		if a, _ := u.views.Alias(ctx, fold.Name()); was.Version == fold.Version() && a != was {
			t.Errorf("view %s, which was of this version, is %+v now; want it untouched: %+v", fold.Name(), a, was)
		}
	}
}

func upgradeWhole(t *testing.T, dir string) {
	u := openUpgrade(t, dir)
	if u.judge(t) {
		u.rebuilt(t)
	}
	export := filepath.Join(t.TempDir(), "log.ndjson")
	cliCommand(t, "events", "export", export, "--nats-url", u.at.NATS)
	got, want := viewTexts(t, u.at.NATS), viewsOfExport(t, export)
	for _, view := range viewNames() {
		if got[view] != want[view] {
			t.Errorf("view %s after the upgrade reads\n%.300s\nwant what this build makes of the log\n%.300s", view, got[view], want[view])
		}
	}
	u.stop()
}

// upgradeTrimmed: the log holds its last ten records. A view of another version can't be
// made of them: --auto-rebuild leaves it as it is and names --carry, which keeps what it
// has of the others.
func upgradeTrimmed(t *testing.T, dir string) {
	trimDir(t, dir+"/data", 10)
	u := openUpgrade(t, dir)
	if !u.judge(t) {
		u.stop()
		return
	}
	u.stop()
	u.process = startServe(t, "auto", "--data-dir", u.dir+"/data", "--nats-listen", "127.0.0.1:0", "--auto-rebuild")
	for _, fold := range allFolds() {
		view, was := fold.Name(), u.before[fold.Name()]
		if was.Version == fold.Version() || was.Version == "" {
			continue
		}
		u.waitSays(t, view, "--carry")
		before := u.keys(t, view)
		if got := cliCommand(t, "views", "get", view, "--nats-url", u.at.NATS); got != u.printed[view] {
			t.Errorf("view %s, which can't be rebuilt, reads\n%.300s\nwant it untouched\n%.300s", view, got, u.printed[view])
		}
		u.operator(t, "rebuild", view, "--carry", "--nats-url", u.at.NATS)
		after := u.keys(t, view)
		if lost := slices.DeleteFunc(before, func(key string) bool { return slices.Contains(after, key) }); len(lost) > 0 {
			t.Errorf("view %s lacks %v after rebuild --carry; want all keys of the build before", view, lost)
		}
		u.waitSays(t, view, "live, ")
	}
	u.stop()
}

// waitSays waits until /readyz says something of a view.
func (u *upgraded) waitSays(t *testing.T, view, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for !strings.Contains(u.says(view), want) {
		if wire.Pause(ctx, 20*time.Millisecond) != nil {
			t.Fatalf("/readyz says %q of view %s; want %q", u.says(view), view, want)
		}
	}
}

func (u *upgraded) keys(t *testing.T, view string) []string {
	t.Helper()
	return strings.Fields(cliCommand(t, "views", "ls", view, "--nats-url", u.at.NATS, "-o", "csv"))
}

// operator runs a command as the user who runs the server.
func (u *upgraded) operator(t *testing.T, args ...string) {
	t.Helper()
	var out []byte
	if err := eventlogtest.Steadily(func() (err error) {
		c := exec.Command("rollcall", args...)
		c.Env = append(os.Environ(), "XDG_CACHE_HOME="+u.cache)
		out, err = c.CombinedOutput()
		return err
	}); err != nil {
		t.Fatalf("rollcall %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// trimDir leaves the last records of a log whose server does not run.
func trimDir(t *testing.T, dir string, keep int64) {
	t.Helper()
	e, err := natsd.Start(t.Context(), natsd.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	}()
	nc, err := e.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), eventlog.Stream)
	if err != nil {
		t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	for _, most := range []int64{keep, -1} {
		c.MaxMsgs = most
		if stream, err = js.UpdateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != uint64(keep) {
		t.Fatalf("a log that was trimmed to %d has %d records, %v", keep, info.State.Msgs, err)
	}
}
