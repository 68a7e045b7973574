package natsd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/eventlog/blocks"
	"rollcall/eventlog/natslog"
	"rollcall/projections"
	"rollcall/projector/viewstore"
)

// checkWhole is the size up to which the files of a log that was stopped in
// order are read before each start: 0.7 to 2.3 s, docs/perf/damage.txt. A
// larger one is read while the server runs. After any other stop it is read
// before the start whatever its size: the server reads it all then too, and cuts.
const checkWhole = 1 << 30

// salvage looks at the files of the embedded server while it is stopped. It repairs
// the log, and moves aside what can be made again from it.
type salvage struct {
	dir string // the data directory
	now func() time.Time
	log zerolog.Logger

	mu     sync.Mutex
	kept   string // see keep
	notes  []string
	lost   uint64 // records of the log that are lost
	moved  int    // streams moved aside
	unread bool   // the log's files were not read yet
}

// keep is where a run keeps what it changes.
func (s *salvage) keep() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == "" {
		s.kept = filepath.Join(s.dir, "salvage", s.now().UTC().Format("20060102T150405Z"))
	}
	return s.kept
}

func (s *salvage) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// Check is the part of /readyz?verbose: what was found at the last start.
func (s *salvage) Check(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.notes, "; "), nil
}

// Register has the metrics show what was found.
func (s *salvage) Register(registry *prometheus.Registry) {
	number := func(name, help string, value func() float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return value()
		}))
	}
	number("rollcall_store_lost_records", "Records of the log that its files were found to have lost since this process started.", func() float64 { return float64(s.lost) })
	number("rollcall_store_moved_streams", "Damaged streams of views that were moved aside, to be made again, since this process started.", func() float64 { return float64(s.moved) })
}

// run looks at all streams. It is called before each start of the server.
func (s *salvage) run(ctx context.Context) error {
	streams, err := blocks.Streams(StoreDir(s.dir))
	if err != nil {
		return fmt.Errorf("check files of the embedded server: %w; check the permissions of --data-dir", err)
	}
	s.mu.Lock()
	s.notes, s.kept, s.unread = nil, "", false
	s.mu.Unlock()
	for _, stream := range streams {
		switch {
		case stream.Name == eventlog.Stream:
			err = s.mendLog(ctx, stream)
		case isView(stream.Name):
			err = s.checkView(ctx, stream)
		}
		if err != nil {
			return fmt.Errorf("check files of stream %s: %w", stream.Name, err)
		}
	}
	return nil
}

// isView reports whether a stream holds a view, or says which ones there are:
// what is made again when it is missing. Others may keep streams of their own.
func isView(stream string) bool {
	if stream == viewstore.StreamOf(viewstore.Control) {
		return true
	}
	for _, fold := range projections.All() {
		if strings.HasPrefix(stream, viewstore.StreamOf(fold.Name()+"_g")) {
			return true
		}
	}
	return false
}

// mendLog repairs the log so that only unreadable records are lost.
func (s *salvage) mendLog(ctx context.Context, stream blocks.Stream) error {
	if !stream.SettingsFit() {
		if err := s.dropSettings(stream); err != nil {
			return err
		}
	}
	trusted, err := stream.Trusted()
	if err != nil {
		return err
	}
	size, err := stream.Size()
	if err != nil {
		return err
	}
	if trusted && size > checkWhole {
		s.mu.Lock()
		s.unread = true
		s.mu.Unlock()
		return nil
	}
	if size > checkWhole {
		s.log.Warn().Int64("bytes", size).Msg("the log was not stopped in order: its files are read before the start, about a GB a second")
	}
	report, err := blocks.Scan(ctx, stream, true)
	if err != nil || len(report.Damage) == 0 {
		return err
	}
	return s.mend(stream, report)
}

// Mend puts marks in the place of what the log of a stopped server has lost.
// A copy of what it changes is kept, in the directory that it returns.
func Mend(dataDir string, stream blocks.Stream, report *blocks.Report, log zerolog.Logger) (kept string, err error) {
	s := &salvage{dir: dataDir, now: time.Now, log: log}
	return s.keep(), s.mend(stream, report)
}

// mend puts marks in the place of what is lost.
func (s *salvage) mend(stream blocks.Stream, report *blocks.Report) error {
	keep := s.keep()
	err := blocks.Mend(stream, report, keep, lostMark)
	if errors.Is(err, blocks.ErrTooMuch) {
		s.note("%v: nothing was repaired; restore a backup", err)
		s.log.Error().Err(err).Msg("the log is damaged beyond repair: restore a backup (docs/OPERATIONS.md)")
		return nil
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.lost += report.Lost()
	s.mu.Unlock()
	for i := range report.Damage {
		d := &report.Damage[i]
		if d.Lost() == 0 {
			s.note("the end of block %s was not written whole: %d bytes cut", d.Block, d.Bytes)
		} else {
			s.note("%s lost in block %s", d.Records(), d.Block)
		}
		s.log.Error().Str("block", d.Block).Int64("offset", d.Offset).Int64("bytes", d.Bytes).Uint64("from", d.From).Uint64("to", d.To).
			Int("saved_behind", d.Behind).Str("copy", keep).
			Msg("the log was damaged: " + d.Records() + " cut out, and marked where a record is known to be lost; all else is kept. Views may hold more than the log now: run `rollcall verify --repair`")
	}
	return nil
}

// lostMark is what stands for a lost record of the log.
func lostMark(sequence uint64, after time.Time) (m blocks.Message) {
	m.Subject, m.Headers, m.Body = natslog.Lost(sequence, after)
	return m
}

// dropSettings moves settings that the server would not read, and with which it
// would ignore the log. The log is then made over its blocks, as another
// incarnation.
func (s *salvage) dropSettings(stream blocks.Stream) error {
	if err := blocks.Keep(stream, &blocks.Report{}, s.keep()); err != nil {
		return err
	}
	for _, path := range stream.Settings() {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	s.note("settings of the log were damaged and made again: views have to be rebuilt")
	s.log.Error().Str("copy", s.keep()).Msg("the settings of the log were damaged and are made again, with all records; its views have to be rebuilt")
	return nil
}

// checkView moves a damaged view aside: nats-server may never come back from
// reading a damaged block, and views can be made again.
func (s *salvage) checkView(ctx context.Context, stream blocks.Stream) error {
	why, err := harmOf(ctx, stream)
	if err != nil || why == "" {
		return err
	}
	to := filepath.Join(s.keep(), stream.Name)
	err = os.MkdirAll(filepath.Dir(to), 0o750)
	if err == nil {
		err = os.Rename(stream.Dir, to)
	}
	if err != nil { // as across file systems: what can be made again is not worth a start
		err = os.RemoveAll(stream.Dir)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.moved++
	s.mu.Unlock()
	s.note("%s was damaged and moved aside, to be made again", stream.Name)
	s.log.Error().Str("stream", stream.Name).Str("why", why).Str("copy", to).Msg("a stream of views was damaged and moved aside; it is made again from the log")
	return nil
}

// harmOf says what is wrong with the files of a view's stream; "": nothing.
func harmOf(ctx context.Context, stream blocks.Stream) (string, error) {
	if !stream.SettingsFit() {
		return "its settings can't be read", nil
	}
	trusted, err := stream.Trusted()
	if err != nil {
		return "", err
	}
	report, err := blocks.Scan(ctx, stream, false)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return console.OneLine(err), nil
	case report.Harmed(), trusted && len(report.Damage) > 0:
		return fmt.Sprintf("block %s is damaged at %d", report.Damage[0].Block, report.Damage[0].Offset), nil
	}
	return "", nil
}

// Watch reads the files of a log that was too large to be read before the
// start. It repairs nothing: the server runs. It keeps a copy of what is damaged,
// before the server cuts it.
func (s *salvage) Watch(ctx context.Context) {
	s.mu.Lock()
	unread := s.unread
	s.mu.Unlock()
	if !unread {
		return
	}
	report, err := s.later(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn().Err(err).Msg("the files of the log can't be checked")
		}
		return
	}
	for i := range report.Damage {
		d := &report.Damage[i]
		s.note("%s damaged in block %s", d.Records(), d.Block)
		s.log.Error().Str("block", d.Block).Int64("offset", d.Offset).Uint64("from", d.From).Uint64("to", d.To).Str("copy", s.keep()).
			Msg("the log is damaged: " + d.Records() + " can't be read; stop, run `rollcall events scan --repair --data-dir DIR`, and start again")
	}
}

// later checks the log's files while the server runs. It repairs nothing: it keeps
// a copy of what is damaged, before the server cuts it off.
func (s *salvage) later(ctx context.Context) (*blocks.Report, error) {
	streams, err := blocks.Streams(StoreDir(s.dir))
	if err != nil {
		return nil, err
	}
	for _, stream := range streams {
		if stream.Name != eventlog.Stream {
			continue
		}
		report, err := blocks.Scan(ctx, stream, true)
		if err != nil {
			return nil, err
		}
		report.ForgetEnd() // it is written to
		if len(report.Damage) == 0 {
			return report, nil
		}
		return report, blocks.Keep(stream, report, s.keep())
	}
	return &blocks.Report{}, nil
}
