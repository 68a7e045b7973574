package projector

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Config says what a Projector drives and how. The zero value of every field
// but the first three means the default that its comment names.
type Config struct {
	Projection Projection
	Source     Source
	Store      Store

	// Logger gets state changes, never a record's content. The zero Logger is silent.
	Logger zerolog.Logger
	// Registerer takes the metrics; nil: none are exposed.
	Registerer prometheus.Registerer
	// Window is how long a live commit waits for more changes after the first
	// one: 20 ms.
	Window time.Duration
	// IdleWindow is the same for a commit that only moves the checkpoint: 50 ms.
	IdleWindow time.Duration
	// CacheBytes bounds the entities held in memory, as far as they are not
	// waiting to be stored: 64 MiB.
	CacheBytes int64
	// BatchEntities is how many changed entities end a window in catch-up: 4000.
	BatchEntities int
	// MaxValueBytes bounds a document and a part; a record that would make one
	// larger is parked: 512 KiB.
	MaxValueBytes int
	// MaxAge is for how long an entity stays in the view after it was over, by
	// Now against received times; 0: without limit. See [Aging].
	MaxAge time.Duration
	// StopTimeout bounds the last commit after Run's context ended: 5 s.
	StopTimeout time.Duration
	// Traced, where set, is called after each commit, and each that failed, that holds
	// records whose deliveries were traced, unless it is in bulk. It must not block, and
	// may keep what it gets. Projectors that share it may call it at the same time.
	Traced func(CommitSpan)
	// Now is the clock of lag, of parkedAt and of MaxAge; nil: time.Now. No fold sees it.
	Now func() time.Time
}

const (
	defaultWindow        = 20 * time.Millisecond
	defaultIdleWindow    = 50 * time.Millisecond
	defaultCacheBytes    = 64 << 20
	defaultBatchEntities = 4000
	defaultMaxValueBytes = 512 << 10
	defaultStopTimeout   = 5 * time.Second

	// maxWindow ends a window in catch-up, so that progress is seen.
	maxWindow = time.Second
	// commitTimeout bounds one try of a commit, together with writeTimeout for each
	// value in it: a commit in bulk has tens of thousands. Afterwards its outcome is
	// asked for.
	commitTimeout = 10 * time.Second
	writeTimeout  = 5 * time.Millisecond
	// headInterval is how often the end of the log is asked for, for the lag.
	headInterval = time.Second
	// retryFirst and retryLast bound the wait between tries.
	retryFirst = 50 * time.Millisecond
	retryLast  = 2 * time.Second
	// answerTimeout is how long it may stay unknown whether a commit
	// happened. Then the lease is released, so that another process may try.
	answerTimeout = 30 * time.Second
	// sweepTimeout is how long a sweep waits for the next entity.
	sweepTimeout = 30 * time.Second
	// probeInterval is how often an idle view is checked: without a commit nothing
	// else shows that it was lost or taken over.
	probeInterval = 5 * time.Second
	// refoldFirst and refoldLast bound the wait before folding begins again.
	refoldFirst = 10 * time.Millisecond
	refoldLast  = 250 * time.Millisecond
	// chunkEvents is how many events the fold takes at a time.
	chunkEvents = 512
	// mailEvents and mailBytes bound what is read ahead of the fold.
	mailEvents = 4096
	mailBytes  = 16 << 20
	// readBatch is how many records the reader hands on at a time.
	readBatch = 64
)

func (c *Config) validate() error {
	switch {
	case c.Projection == nil:
		return errors.New("projector: no projection")
	case c.Source == nil:
		return errors.New("projector: no source")
	case c.Store == nil:
		return errors.New("projector: no store")
	}
	for _, d := range []struct {
		name  string
		value int64
	}{
		{"Window", int64(c.Window)},
		{"IdleWindow", int64(c.IdleWindow)},
		{"CacheBytes", c.CacheBytes},
		{"BatchEntities", int64(c.BatchEntities)},
		{"MaxValueBytes", int64(c.MaxValueBytes)},
		{"MaxAge", int64(c.MaxAge)},
		{"StopTimeout", int64(c.StopTimeout)},
	} {
		if d.value < 0 {
			return fmt.Errorf("projector: %s is negative: leave it 0 for the default", d.name)
		}
	}
	return nil
}

func (c Config) withDefaults() Config {
	orDefault(&c.Window, defaultWindow)
	orDefault(&c.IdleWindow, defaultIdleWindow)
	orDefault(&c.CacheBytes, defaultCacheBytes)
	orDefault(&c.BatchEntities, defaultBatchEntities)
	orDefault(&c.MaxValueBytes, defaultMaxValueBytes)
	orDefault(&c.StopTimeout, defaultStopTimeout)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
