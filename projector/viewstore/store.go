package viewstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/rs/zerolog"

	"rollcall/eventlog/wire"
	"rollcall/projector"
)

// Config of a Store. The zero value is the default of every field.
type Config struct {
	// Replicas of the buckets that are made: 1.
	Replicas int
	// Holder names this process in leases: a random id.
	Holder string
	// LeaseTTL is how long a standby waits for a lease that is not renewed: 3 s.
	// A lease is renewed three times as often.
	LeaseTTL time.Duration
	// Timeout bounds one request to the server: 5 s.
	Timeout time.Duration
	// Exclusive says that this process runs the only server, by the same clock:
	// a lease of another Holder that is older than the Store is that of a process
	// that died, and is taken without waiting. The fence still holds.
	Exclusive bool
	// AnnounceKeys is how many keys Announce compares at a time, at about 40 bytes
	// of memory each: 1,048,576. A view of more is read several times.
	AnnounceKeys int
	// Logger gets problems that are retried; the zero Logger is silent.
	Logger zerolog.Logger
}

// Store keeps views in JetStream KV buckets. It implements projector.Store and
// may be used by several projectors at once. It reads through [Reader].
type Store struct {
	*Reader
	config Config
	opened time.Time
}

// Open makes or checks the control bucket. It fails with a one-line error that
// says what to do on a server without JetStream, or one that is too old.
func Open(ctx context.Context, js jetstream.JetStream, config Config) (*Store, error) {
	if config.Holder == "" {
		config.Holder = nuid.Next()
	}
	if config.LeaseTTL <= 0 {
		config.LeaseTTL = 3 * time.Second
	}
	if config.Timeout <= 0 {
		config.Timeout = requestTimeout
	}
	if config.AnnounceKeys <= 0 {
		config.AnnounceKeys = 1 << 20
	}
	if v := js.Conn().ConnectedServerVersion(); wire.TooOld(v) {
		return nil, fmt.Errorf("%w: nats-server %s has no atomic batches; use %s or newer", projector.ErrSettings, v, wire.MinServer)
	}
	s := &Store{Reader: NewReader(js), config: config, opened: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, config.Timeout)
	defer cancel()
	if err := s.control(ctx); err != nil {
		if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) ||
			errors.Is(err, nats.ErrNoResponders) {
			return nil, fmt.Errorf("%w: the NATS server runs without JetStream; start it with -js", projector.ErrSettings)
		}
		return nil, err
	}
	return s, nil
}

// Acquire implements projector.Store.
func (s *Store) Acquire(ctx context.Context, c projector.LeaseRequest) (*projector.Lease, error) {
	if err := validView(c.View); err != nil {
		return nil, err
	}
	generation := c.Generation
	bucket := Bucket(c.View, generation)
	if generation == 0 {
		alias, err := s.firstAlias(ctx, c)
		if err != nil {
			return nil, err
		}
		if alias.Version != c.Version {
			return nil, fmt.Errorf("%w: %s holds version %s, this program folds version %s; run `rollcall rebuild %s`, or serve with --auto-rebuild",
				projector.ErrVersion, alias.Bucket, alias.Version, c.Version, c.View)
		}
		generation, bucket = alias.Generation, alias.Bucket
	}
	stream, err := s.open(ctx, c.View, bucket)
	if err != nil {
		return nil, err
	}
	lease, err := s.takeLease(ctx, bucket, c)
	if err != nil {
		return nil, err
	}
	w := &writer{store: s, stream: stream, view: c.View, version: c.Version, bucket: bucket, generation: generation, lease: lease}
	acquired, err := w.open(ctx)
	if err != nil {
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Timeout)
		defer cancel()
		return nil, errors.Join(err, lease.release(release))
	}
	return acquired, nil
}

// open returns a generation's stream. The live one is made where it is missing;
// another that was dropped must not come back because a process still wants to follow it.
func (s *Store) open(ctx context.Context, view, bucket string) (jetstream.Stream, error) {
	want := s.bucketConfig(bucket, stateRoot(bucket)+">")
	alias, err := s.Alias(ctx, view)
	if err != nil {
		return nil, err
	}
	if alias.Bucket == bucket {
		return s.ensure(ctx, want)
	}
	stream, err := s.existing(ctx, want)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w: stream %s is gone", projector.ErrNoGeneration, want.Name)
	}
	return stream, err
}
