package natslog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/wire"
)

const (
	// DefaultDuplicateWindow is how long a repeat is recognised.
	DefaultDuplicateWindow = 10 * time.Minute
	// NoLimit removes a limit (MaxAge, MaxBytes) that an existing log has.
	NoLimit = -1

	// incarnationKey is the stream metadata that names the incarnation.
	incarnationKey = "rollcall.incarnation"
	// syncedKey is the stream metadata that shows other programs that the
	// appender makes the records durable (Config.StoreDir, Config.SyncAlways).
	syncedKey = "rollcall.synced"
	// setupTimeout bounds each request that has no deadline of its own.
	setupTimeout = 5 * time.Second
	// askTimeout bounds each try of a request that only reads.
	askTimeout = 1500 * time.Millisecond
)

// Errors of Open and Attach. Each is wrapped with what to do next.
var (
	// ErrSettings: the stream exists with settings that a log can't have.
	ErrSettings = errors.New("stream " + eventlog.Stream + " has other settings")
	// ErrServer: the NATS server can't hold a log.
	ErrServer = errors.New("NATS server can't hold the log")
)

// Config says how a log is kept. The zero value keeps what an existing log
// has, and creates a new one with one replica and without limits.
type Config struct {
	// Replicas is 1, 3 or 5; 0 keeps what exists, 1 for a new log.
	Replicas int
	// MaxAge removes records older than this, MaxBytes the oldest ones above
	// this size. 0 keeps what exists, none for a new log; NoLimit removes it.
	// A projection that has not read a removed record yet stops with ErrTrimmed.
	MaxAge   time.Duration
	MaxBytes int64
	// DuplicateWindow is how long a repeat is recognised, at most MaxAge; 0 keeps
	// what exists, DefaultDuplicateWindow for a new log. It costs the server
	// about 170 bytes of memory for each delivery within it.
	DuplicateWindow time.Duration
	// SyncAlways is set by whoever runs the server itself with sync_interval
	// "always", so that Info can say what an append's success means.
	SyncAlways bool
	// StoreDir is set instead by whoever runs the server itself, with one replica
	// and any sync_interval: the store directory of that server. The log's files
	// are then synced here before an append returns, one sync for all records
	// that came together.
	StoreDir string
	flush    flush // nil functions: the system's own
	// Entropy makes the incarnation; nil is crypto/rand.
	Entropy io.Reader
	// Batch tunes the group commit.
	Batch BatchConfig
}

func (c Config) validate() error {
	switch {
	case c.Replicas < 0 || c.Replicas > 5:
		return fmt.Errorf("replicas is %d: give 1, 3 or 5", c.Replicas)
	case c.MaxAge < 0 && c.MaxAge != NoLimit:
		return fmt.Errorf("max age is %v: give a positive duration", c.MaxAge)
	case c.MaxBytes < 0 && c.MaxBytes != NoLimit:
		return fmt.Errorf("max bytes is %d: give a positive size", c.MaxBytes)
	case c.DuplicateWindow != 0 && c.DuplicateWindow < 100*time.Millisecond:
		return fmt.Errorf("duplicate window is %v: give at least 100ms", c.DuplicateWindow)
	case c.MaxAge > 0 && c.DuplicateWindow > c.MaxAge:
		return fmt.Errorf("duplicate window %v is longer than max age %v: give a shorter one", c.DuplicateWindow, c.MaxAge)
	}
	return c.Batch.validate()
}

// settings are the stream's. Each has its reason; those that Config may change
// are marked, all others are checked when a log is opened.
func settings(incarnation string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        eventlog.Stream,
		Description: "Rollcall's log: one record a webhook delivery, body byte for byte",
		// Exactly four tokens: what others publish below "meetings" is no record.
		Subjects: []string{eventlog.SubjectAll},
		// The log is the only truth; memory storage would end with the server.
		Storage: jetstream.FileStorage,
		// Readers come and go and start over: reading removes nothing.
		Retention: jetstream.LimitsPolicy,
		// With a limit set the oldest record goes. To refuse the newest instead
		// would lose it for good, since providers give up after a few tries.
		Discard: jetstream.DiscardOld,
		// A hole would look like a lost record to every reader. Retention is by
		// MaxAge and MaxBytes alone, from the front.
		DenyDelete: true,
		DenyPurge:  true,
		// A publisher's rollup header would remove all earlier records.
		AllowRollup: false,
		// A single record is read by sequence without asking the stream's leader.
		AllowDirect: true,
		// The group commit: one sync for a whole batch.
		AllowAtomicPublish: true,
		// A record's own TTL would make holes.
		AllowMsgTTL: false,
		// Bodies up to several times the ingester's cap; the rest is headers.
		MaxMsgSize: -1,
		MaxMsgs:    -1, MaxMsgsPerSubject: -1, MaxConsumers: -1,
		// JSON compresses well, but recovery of a torn compressed block after a
		// crash loses the block, of an uncompressed one the record.
		Compression: jetstream.NoCompression,
		Metadata:    map[string]string{incarnationKey: incarnation},

		Replicas:   1,                      // Config.Replicas
		MaxAge:     0,                      // Config.MaxAge
		MaxBytes:   -1,                     // Config.MaxBytes
		Duplicates: DefaultDuplicateWindow, // Config.DuplicateWindow
	}
}

// apply puts what c sets into sc and reports whether that changed it.
func (c Config) apply(sc *jetstream.StreamConfig) bool {
	before := *sc
	if c.Replicas > 0 {
		sc.Replicas = c.Replicas
	}
	switch {
	case c.MaxAge > 0:
		sc.MaxAge = c.MaxAge
	case c.MaxAge == NoLimit:
		sc.MaxAge = 0
	}
	if c.MaxBytes != 0 {
		sc.MaxBytes = c.MaxBytes
	}
	if c.DuplicateWindow > 0 {
		sc.Duplicates = c.DuplicateWindow
	}
	if sc.MaxAge > 0 && sc.Duplicates > sc.MaxAge {
		sc.Duplicates = sc.MaxAge // the server takes no longer window
	}
	return sc.Replicas != before.Replicas || sc.MaxAge != before.MaxAge ||
		sc.MaxBytes != before.MaxBytes || sc.Duplicates != before.Duplicates
}

// difference names the first setting of got that a log can't have, "" if none.
func difference(got jetstream.StreamConfig) string {
	want := settings("")
	checks := []struct {
		name      string
		got, want any
	}{
		{"subjects", strings.Join(got.Subjects, ","), strings.Join(want.Subjects, ",")},
		{"storage", got.Storage, want.Storage},
		{"retention", got.Retention, want.Retention},
		{"discard", got.Discard, want.Discard},
		{"deny_delete", got.DenyDelete, want.DenyDelete},
		{"deny_purge", got.DenyPurge, want.DenyPurge},
		{"allow_rollup_hdrs", got.AllowRollup, want.AllowRollup},
		{"allow_direct", got.AllowDirect, want.AllowDirect},
		{"allow_atomic", got.AllowAtomicPublish, want.AllowAtomicPublish},
		{"allow_msg_ttl", got.AllowMsgTTL, want.AllowMsgTTL},
		{"no_ack", got.NoAck, false},
		{"sealed", got.Sealed, false},
		{"mirror", got.Mirror != nil, false},
		{"sources", len(got.Sources) > 0, false},
		{"subject_transform", got.SubjectTransform != nil, false},
	}
	for _, c := range checks {
		if c.got != c.want {
			return fmt.Sprintf("%s is %v, want %v", c.name, c.got, c.want)
		}
	}
	if got.Metadata[incarnationKey] == "" {
		return "metadata " + incarnationKey + " is missing"
	}
	return ""
}

// Log is an open log. Its methods may be used from several goroutines.
type Log struct {
	js          jetstream.JetStream
	stream      jetstream.Stream
	incarnation string
	committer   *committer
	// synced is what Config says of this log's own appends; nil after Attach, and
	// then the stream's metadata says it.
	synced *bool
}

// Open creates the log, or opens the one that is there after checking its
// settings, and applies what c sets.
//
// Its errors are one line that says what to do: ErrServer (no JetStream, or
// too old), ErrSettings, eventlog.ErrUnavailable (NATS is away).
func Open(ctx context.Context, js jetstream.JetStream, c Config) (*Log, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	stream, err := find(ctx, js)
	if errors.Is(err, eventlog.ErrNoLog) {
		stream, err = create(ctx, js, c)
	}
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	sc := stream.CachedInfo().Config
	if what := difference(sc); what != "" {
		return nil, fmt.Errorf("open log: %w: %s; use another NATS account, or export its records and remove it with `nats stream rm %s`",
			ErrSettings, what, eventlog.Stream)
	}
	synced := c.SyncAlways || c.StoreDir != ""
	if stream, err = c.change(ctx, js, stream, synced); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := newLog(js, stream, c)
	l.synced = &synced
	if c.StoreDir != "" {
		if l.committer.disk, err = openDisk(c.StoreDir, js.Conn().ConnectedServerId(), c.flush); err != nil {
			return nil, fmt.Errorf("open log: %w", err)
		}
	}
	return l, nil
}

// change applies what c sets, and marks the log as synced or not. The mark is
// information for other programs: it is left out for a user who may append but
// not change the stream.
func (c Config) change(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream, synced bool) (jetstream.Stream, error) {
	sc := stream.CachedInfo().Config
	asked := c.apply(&sc)
	if marked := sc.Metadata[syncedKey] != ""; marked != synced {
		sc.Metadata = maps.Clone(sc.Metadata)
		delete(sc.Metadata, syncedKey)
		if synced {
			sc.Metadata[syncedKey] = "true"
		}
	} else if !asked {
		return stream, nil
	}
	limit := setupTimeout
	if !asked {
		limit = askTimeout
	}
	try, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	changed, err := js.UpdateStream(try, sc)
	switch {
	case err == nil:
		return changed, nil
	case !asked && ctx.Err() == nil:
		return stream, nil
	case errors.Is(err, context.DeadlineExceeded) && errors.Is(js.Conn().LastError(), nats.ErrPermissionViolation):
		return nil, fmt.Errorf("change stream settings: %w: this user may not; start once as an operator, or leave out what sets replicas, limits or the duplicate window", ErrServer)
	}
	return nil, fmt.Errorf("change stream settings: %w", classify(err))
}

// Attach opens a log that must be there, for reading and for appending with
// the settings that it has. eventlog.ErrNoLog: it is not there yet.
func Attach(ctx context.Context, js jetstream.JetStream) (*Log, error) {
	stream, err := find(ctx, js)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if what := difference(stream.CachedInfo().Config); what != "" {
		return nil, fmt.Errorf("open log: %w: %s; is this another program's stream?", ErrSettings, what)
	}
	return newLog(js, stream, Config{}), nil
}

func newLog(js jetstream.JetStream, stream jetstream.Stream, c Config) *Log {
	l := &Log{
		js:          js,
		stream:      stream,
		incarnation: stream.CachedInfo().Config.Metadata[incarnationKey],
	}
	l.committer = newCommitter(l, c.Batch, stream.CachedInfo().Config.Duplicates)
	return l
}

// find looks for the stream, and says why a server can't have it.
func find(ctx context.Context, js jetstream.JetStream) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	stream, err := js.Stream(ctx, eventlog.Stream)
	if v := js.Conn().ConnectedServerVersion(); wire.TooOld(v) {
		return nil, fmt.Errorf("%w: it is version %s; use %s or newer", ErrServer, v, wire.MinServer)
	}
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, fmt.Errorf("%w: start `rollcall serve` with the ingest target first", eventlog.ErrNoLog)
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("%w: JetStream does not answer; start nats-server with -js (%w)", ErrServer, eventlog.ErrUnavailable)
	case err != nil:
		return nil, classify(err)
	}
	return stream, nil
}

// create makes the stream with a new incarnation, or finds the one that another
// process has just made.
func create(ctx context.Context, js jetstream.JetStream, c Config) (jetstream.Stream, error) {
	entropy := c.Entropy
	if entropy == nil {
		entropy = rand.Reader
	}
	id, err := newUUID(entropy)
	if err != nil {
		return nil, fmt.Errorf("make incarnation: %w", err)
	}
	sc := settings(id)
	c.apply(&sc)
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	stream, err := js.CreateStream(ctx, sc)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return find(ctx, js) // another ingester was faster
	}
	if err != nil {
		return nil, fmt.Errorf("create stream %s: %w", eventlog.Stream, classify(err))
	}
	return stream, nil
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID(entropy io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(entropy, b[:]); err != nil {
		return "", err
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16]), nil
}

// classify turns a NATS error into one of ours, with the original in it.
func classify(err error) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("%w: JetStream is off; start nats-server with -js", ErrServer)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("%w: stream %s was removed", eventlog.ErrNoLog, eventlog.Stream)
	case errors.Is(err, nats.ErrPermissionViolation):
		return fmt.Errorf("%w: this user may not do that; check --nats-creds: %w", ErrServer, err)
	case errors.As(err, &api) && api.Code < 500 && api.Code != 429:
		return err // the request was wrong; waiting does not help
	}
	return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err)
}
