package backup

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/natsd"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// TestCompareSeesAnotherRecord: a log that is not what the files say is found, whatever
// the seals say.
func TestCompareSeesAnotherRecord(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "a.ndjson"), filepath.Join(dir, "b.ndjson")
	all := records(1, 20)
	export(t, path, Seal{}, all)
	all[13].Body = []byte(`{"event":"meeting.started","n":"changed"}`)
	export(t, other, Seal{}, all)
	js := eventlogtest.Connect(t)
	log, err := eventlogtest.Made(func() (*natslog.Log, error) {
		return natslog.Open(t.Context(), js, natslog.Config{Batch: natslog.BatchConfig{Timeout: eventlogtest.Patience}})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if n, err := log.Import(t.Context(), Records(path)); n != 20 || err != nil {
		t.Fatalf("Import() = %d, %v; want 20", n, err)
	}
	io := &console.IO{Ctx: t.Context()}
	if err := (&Import{Files: []string{path}, IO: io}).Compare(log, 20); err != nil {
		t.Errorf("Compare with what was imported = %v; want no error", err)
	}
	if err := (&Import{Files: []string{other}, IO: io}).Compare(log, 20); console.ExitCode(err) != console.ExitDifference || !strings.Contains(err.Error(), "record 14") {
		t.Errorf("Compare with other records = %v; want a difference at record 14", err)
	}
}

// TestExportWithoutSealIsTakenWithANote: as older versions wrote them.
func TestExportWithoutSealIsTakenWithANote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "old.ndjson")
	export(t, path, Seal{}, records(1, 4))
	check := func() (string, error) {
		var said bytes.Buffer
		_, err := (&Import{Files: []string{path}, IO: &console.IO{Ctx: t.Context(), Stderr: &said}}).Check()
		return said.String(), err
	}
	if said, err := check(); said != "" || err != nil {
		t.Errorf("Check of a sealed export = %v and says %q; want nothing", err, said)
	}
	if err := os.Remove(sumFile(path)); err != nil {
		t.Fatal(err)
	}
	if said, err := check(); err != nil || !strings.Contains(said, "has no seal") || !strings.Contains(said, "4 records") {
		t.Errorf("Check of an export without a seal = %v and says %q; want a note", err, said)
	}
}

// TestChangedBetweenCheckAndImport: what is stored is checked once more on the way.
func TestChangedBetweenCheckAndImport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ndjson")
	export(t, path, Seal{}, records(1, 4))
	b := read1(t, path)
	if _, err := Check(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(b, []byte(`\"n\":3`), []byte(`\"n\":8`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	js := eventlogtest.Connect(t)
	log, err := eventlogtest.Made(func() (*natslog.Log, error) {
		return natslog.Open(t.Context(), js, natslog.Config{Batch: natslog.BatchConfig{Timeout: eventlogtest.Patience}})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if n, err := log.Import(t.Context(), Records(path)); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("Import of a file that was changed = %d, %v; want its checksum refused", n, err)
	}
}

// TestImportAgainAtOnce: the server removes the empty folders of an account after it has said
// that its last stream is gone, also while it makes a new one there. Here they are removed
// again and again, as a busy machine may do it late.
func TestImportAgainAtOnce(t *testing.T) {
	dir := t.TempDir()
	js := eventlogtest.Connect(t, eventlogtest.Options{Dir: natsd.StoreDir(dir)})
	if err := os.WriteFile(natsd.ImportMark(dir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	account := filepath.Join(natsd.StoreDir(dir), "jetstream", "$G")
	var removing sync.WaitGroup
	ended := make(chan struct{})
	removing.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
				_ = os.Remove(filepath.Join(account, "streams")) // not where it holds one
				_ = os.Remove(account)
			}
		}
	})
	defer removing.Wait()
	defer close(ended)
	for n := range 20 {
		log, err := (&Import{IO: &console.IO{Ctx: t.Context()}}).openDir(js, dir)
		if err != nil {
			t.Fatalf("log after %d removals = %v; want it opened", n, err)
		}
		log.Close()
	}
}
