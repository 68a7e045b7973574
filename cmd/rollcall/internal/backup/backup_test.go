package backup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"rollcall/eventlog"
)

// records are those of a log from one sequence to another, both included.
func records(from, to eventlog.Seq) (all []eventlog.Record) {
	for n := from; n <= to; n++ {
		all = append(all, eventlog.Record{Seq: n, EventID: fmt.Sprintf("01J%023d", n), ReceivedAt: eventlog.TimeOfUnixMicro(int64(1e15) + int64(n)),
			Source: "test", DeliveryID: fmt.Sprint("u", n), Type: "meeting.started", Body: fmt.Appendf(nil, `{"event":"meeting.started","n":%d}`, n)})
	}
	return all
}

// export writes records as the export that continues the one with the seal from.
func export(t *testing.T, path string, from Seal, all []eventlog.Record) Seal {
	t.Helper()
	f, err := Create(path, true)
	if err != nil {
		t.Fatal(err)
	}
	f.Seal = Seal{Export: sealFormat, Incarnation: "log-1", After: from.Last, AfterID: from.LastID}
	for i := range all {
		if err := f.Add(&all[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	return f.Seal
}

// load reads exports as an import does.
func load(paths ...string) (ids []string, err error) {
	for r, err := range Records(paths...) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, r.EventID)
	}
	return ids, nil
}

func read1(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSealedIsOneRecordALine: programs that know nothing of seals read one record
// a line, of either form, and nothing else.
func TestSealedIsOneRecordALine(t *testing.T) {
	plain, zipped := filepath.Join(t.TempDir(), "a.ndjson"), filepath.Join(t.TempDir(), "a.ndjson.zst")
	export(t, plain, Seal{}, records(1, 50))
	export(t, zipped, Seal{}, records(1, 50))
	d, err := zstd.NewReader(bytes.NewReader(read1(t, zipped)))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var out bytes.Buffer
	if _, err := out.ReadFrom(d); err != nil {
		t.Fatal(err)
	}
	if got := read1(t, plain); bytes.Count(got, []byte("\n")) != 50 || !bytes.Equal(got, out.Bytes()) {
		t.Errorf("export = %d lines, equal to the compressed one %v; want 50, true", bytes.Count(got, []byte("\n")), bytes.Equal(got, out.Bytes()))
	}
	for _, path := range []string{plain, zipped} {
		if all, err := Check(t.Context(), path); err != nil || len(all) != 1 || !all[0].Sealed || all[0].Records != 50 || all[0].Last != 50 {
			t.Errorf("Check(%s) = %+v, %v; want 50 sealed records", path, all, err)
		}
	}
}

// TestDamagedExportsAreRefused cuts a file at each byte, changes each byte, and
// moves, repeats and removes lines.
func TestDamagedExportsAreRefused(t *testing.T) {
	for _, ending := range []string{".ndjson", ".ndjson.zst"} {
		t.Run(ending, func(t *testing.T) {
			dir := t.TempDir()
			whole := filepath.Join(dir, "whole"+ending)
			export(t, whole, Seal{}, records(1, 3))
			b, want := read1(t, whole), 3
			var sum []byte
			if !compressed(whole) {
				sum = read1(t, sumFile(whole))
			}
			damaged := filepath.Join(dir, "damaged"+ending)
			refused := func(what string, b, sum []byte) {
				t.Helper()
				if err := errors.Join(os.WriteFile(damaged, b, 0o600), os.WriteFile(sumFile(damaged), sum, 0o600)); err != nil {
					t.Fatal(err)
				}
				if ids, err := load(damaged); err == nil && (len(ids) != want || ending == ".ndjson") {
					t.Errorf("%s: Records() = %d records; want an error", what, len(ids))
				}
			}
			for n := range b {
				refused(fmt.Sprintf("cut to %d bytes", n), b[:n], sum)
				changed := bytes.Clone(b)
				changed[n] ^= 1
				refused(fmt.Sprintf("byte %d changed", n), changed, sum)
			}
			for n := range len(sum) - 1 {
				changed := bytes.Clone(sum)
				changed[n] ^= 1
				if strings.Contains(string(sum[:n]), `"incarnation":"`) && !strings.Contains(string(sum[:n]), `","after"`) {
					continue // which log it is of is the next export's matter
				}
				refused(fmt.Sprintf("byte %d of the seal changed", n), b, changed)
			}
			if compressed(whole) {
				return
			}
			lines := bytes.SplitAfter(b, []byte("\n"))[:3]
			for what, l := range map[string][][]byte{
				"a line less": lines[1:], "the last line less": lines[:2], "a line twice": append([][]byte{lines[0]}, lines...),
				"two lines swapped": {lines[1], lines[0], lines[2]},
			} {
				refused(what, bytes.Join(l, nil), sum)
			}
		})
	}
}

// TestExportsContinueEachOther: in their order and without a gap, or not at all.
func TestExportsContinueEachOther(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	first := export(t, at("1.ndjson.zst"), Seal{}, records(1, 10))
	second := export(t, at("2.ndjson"), first, records(11, 15))
	empty := export(t, at("3.ndjson"), second, nil)
	export(t, at("4.ndjson.zst"), empty, records(16, 20))
	export(t, at("gap.ndjson"), Seal{Last: 16, LastID: records(16, 16)[0].EventID}, records(17, 20))
	export(t, at("fork.ndjson"), Seal{Last: 10, LastID: "another"}, records(11, 15))
	if err := os.WriteFile(at("old.ndjson"), read1(t, at("2.ndjson")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		files string
		want  int
		err   string
	}{
		{"1.ndjson.zst 2.ndjson 3.ndjson 4.ndjson.zst", 20, ""},
		{"1.ndjson.zst", 10, ""},
		{"old.ndjson", 5, ""}, // without a seal a file is taken as it is
		{"2.ndjson", 0, "name that one first"},
		{"2.ndjson 1.ndjson.zst", 0, "name that one first"},
		{"1.ndjson.zst 1.ndjson.zst", 10, "begins after record 0, and the one before ends with 10"},
		{"1.ndjson.zst 4.ndjson.zst", 10, "begins after record 15"},
		{"1.ndjson.zst 2.ndjson gap.ndjson", 15, "begins after record 16"},
		{"1.ndjson.zst fork.ndjson", 10, "record 10 is another one"},
		{"1.ndjson.zst old.ndjson", 10, "has no seal"},
	} {
		var paths []string
		for _, f := range strings.Fields(c.files) {
			paths = append(paths, at(f))
		}
		ids, err := load(paths...)
		if c.err == "" && err != nil || c.err != "" && (!errors.Is(err, errRefused) || !strings.Contains(err.Error(), c.err)) || len(ids) != c.want {
			t.Errorf("Records(%s) = %d records, %v; want %d and %q", c.files, len(ids), err, c.want, c.err)
		}
	}
	other := second
	other.Incarnation = "log-2"
	if err := other.save(sumFile(at("2.ndjson"))); err != nil {
		t.Fatal(err)
	}
	if _, err := load(at("1.ndjson.zst"), at("2.ndjson")); !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "another log") {
		t.Errorf("Records of two logs = %v; want errRefused", err)
	}
}

// TestPositionWithoutSeal: an export of an older version can be continued.
func TestPositionWithoutSeal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "old.ndjson")
	sealed := export(t, path, Seal{}, records(1, 7))
	if err := os.Remove(sumFile(path)); err != nil {
		t.Fatal(err)
	}
	got, err := Position(path)
	if err != nil || got.Last != sealed.Last || got.LastID != sealed.LastID {
		t.Errorf("Position of an export without a seal = %d %s, %v; want %d %s", got.Last, got.LastID, err, sealed.Last, sealed.LastID)
	}
}

// TestSealFitsItsFrame: a seal that is longer than its frame is an error, and not cut.
func TestSealFitsItsFrame(t *testing.T) {
	s := Seal{Incarnation: strings.Repeat("x", frameBytes-frameHead)}
	if b, err := s.frame(); err == nil || !strings.Contains(err.Error(), "its frame holds 1016") {
		t.Errorf("frame() of a long seal = %d bytes, %v; want an error that says what fits", len(b), err)
	}
}

// TestCutExportIsNotCommitted: what could not be written to its end gets no name.
func TestCutExportIsNotCommitted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ndjson")
	f, err := Create(path, false)
	if err != nil {
		t.Fatal(err)
	}
	f.Stream = NewStream(fullDisk{})
	all := records(1, 1)
	if err := errors.Join(f.Add(&all[0]), f.Commit()); !errors.Is(err, errFullDisk) {
		t.Errorf("Commit on a full disk = %v; want %v", err, errFullDisk)
	}
	if left, _ := filepath.Glob(path + "*"); len(left) != 0 {
		t.Errorf("an export on a full disk leaves %v; want nothing", left)
	}
}

var errFullDisk = errors.New("no space left on device")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFullDisk }

// TestAbortLeavesNothing: neither does an export whose name can't be had.
func TestAbortLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.ndjson", "a.zst"} {
		f, err := Create(filepath.Join(dir, name), false)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Abort(); err != nil {
			t.Error(err)
		}
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 0 {
		t.Errorf("exports that were broken off leave %v; want nothing", left)
	}
}
