package viewstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"rollcall/eventlog/wire"
	"rollcall/projector"
)

// announcePatience is how long Announce waits for a generation that lags.
const announcePatience = 5 * time.Second

// level waits until to holds what from held when it was called, and returns to's
// checkpoint. What Announce publishes then comes, by its sequence, after what was
// published of from, and before what to's projector publishes meanwhile: a
// subscriber that keeps the message with the highest sequence of each key is right.
func (s *Store) level(ctx context.Context, from, to projector.Generation) (projector.Checkpoint, error) {
	before, err := s.Checkpoint(ctx, from.Bucket)
	if err != nil {
		return before, err
	}
	for began := time.Now(); ; {
		cp, err := s.Checkpoint(ctx, to.Bucket)
		if err != nil || cp.Sequence >= before.Sequence {
			return cp, err
		}
		if time.Since(began) > announcePatience {
			s.config.Logger.Warn().Str("bucket", to.Bucket).Msg("nobody follows the generation that is live now; its differences are published as it is")
			return cp, nil
		}
		if err := wire.Pause(ctx, 10*time.Millisecond); err != nil {
			return cp, err
		}
	}
}

// deletedHash stands for a key that was deleted; no document has it but by a
// chance of one in 2^64.
const deletedHash = 0

// comparison is one run of Announce.
type comparison struct {
	store    *Store
	p        projector.Promotion
	sequence []string // header of what is published
	seed     maphash.Seed
	// old holds, by the hash of a key, the hash of the old generation's document, for
	// the keys of the current pass.
	old map[uint64]uint64
	// unannounced are the keys whose last change may not have been published.
	unannounced  map[uint64]bool
	pass, passes uint64
	changed      int
}

// Announce implements projector.Registry. It holds two hashes a key in memory,
// of at most Config.AnnounceKeys keys.
func (s *Store) Announce(ctx context.Context, p projector.Promotion) (int, error) {
	cp, err := s.level(ctx, p.Before, p.After)
	if err != nil {
		return 0, err
	}
	keys, err := s.messages(ctx, p.Before.Bucket)
	if err != nil {
		return 0, err
	}
	c := &comparison{
		store: s, p: p, sequence: sequenceHeader(cp.Sequence), seed: maphash.MakeSeed(), old: make(map[uint64]uint64), unannounced: make(map[uint64]bool),
		passes: 1 + keys/uint64(s.config.AnnounceKeys),
	}
	for ; c.pass < c.passes; c.pass++ {
		if err := c.run(ctx); err != nil {
			return c.changed, err
		}
	}
	return c.changed, nil
}

// messages is how many messages a bucket holds; a removed one holds none.
func (s *Store) messages(ctx context.Context, bucket string) (uint64, error) {
	stream, err := s.stream(ctx, StreamOf(bucket))
	if errors.Is(err, ErrNoView) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.Msgs, nil
}

func (c *comparison) run(ctx context.Context) error {
	if err := c.before(ctx); err != nil {
		return err
	}
	if err := c.after(ctx); err != nil {
		return err
	}
	if len(c.old) == 0 {
		return nil
	}
	return c.gone(ctx)
}

// key is a key's hash, and whether the pass looks at it.
func (c *comparison) key(key string) (hash uint64, ok bool) {
	hash = maphash.String(c.seed, key)
	return hash, hash%c.passes == c.pass
}

// each scans the documents of the old generation.
func (c *comparison) each(ctx context.Context, o scanOptions, do func(key string, hash uint64, m *wire.Message) error) error {
	bucket := c.p.Before.Bucket
	root := documentSubject(bucket, "")
	for m, err := range c.store.scan(ctx, bucket, []string{root + ">"}, o) {
		if errors.Is(err, ErrNoView) {
			return nil // it was removed
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", bucket, err)
		}
		key := strings.TrimPrefix(m.Subject, root)
		if hash, ok := c.key(key); ok {
			if err := do(key, hash, &m); err != nil {
				return err
			}
		}
	}
	return nil
}

// before reads what was published of the old generation.
func (c *comparison) before(ctx context.Context) error {
	return c.each(ctx, scanOptions{}, func(_ string, key uint64, m *wire.Message) error {
		// What was committed since the alias moved was not published, and the
		// commit before it perhaps not: its writer checks afterwards whether its
		// generation is live.
		unannounced := m.Sequence > c.p.Revision || c.p.Commit != "" && commitOf(m.Header) == c.p.Commit
		switch {
		case !deleted(m.Header):
			c.old[key] = maphash.Bytes(c.seed, m.Data)
		case unannounced:
			c.old[key] = deletedHash // published as deleted, or as what it is in the new one
		default:
			delete(c.old, key)
		}
		if unannounced {
			c.unannounced[key] = true
		}
		return nil
	})
}

// after publishes what the new generation has changed, and leaves in old what it
// does not have.
func (c *comparison) after(ctx context.Context) error {
	to := c.p.After
	for e, err := range c.store.AllFrom(ctx, Alias{Bucket: to.Bucket, Generation: to.Number}, "") {
		if err != nil {
			return err
		}
		key, ok := c.key(e.Key)
		if !ok {
			continue
		}
		hash, was := c.old[key]
		delete(c.old, key)
		same := was && hash == maphash.Bytes(c.seed, e.Value)
		if same && !c.unannounced[key] {
			continue
		}
		if !same {
			c.changed++
		}
		if err := c.publish(e.Key, bytes.Clone(e.Value), e.Revision); err != nil {
			return err
		}
	}
	return nil
}

// gone publishes that keys are deleted. Their names are read only now, since
// few rebuilds delete any key.
func (c *comparison) gone(ctx context.Context) error {
	return c.each(ctx, scanOptions{keysOnly: true}, func(key string, hash uint64, _ *wire.Message) error {
		was, left := c.old[hash]
		if !left {
			return nil
		}
		delete(c.old, hash)
		if was != deletedHash {
			c.changed++
		}
		return c.publish(key, nil, 0)
	})
}

func (c *comparison) publish(key string, value []byte, revision uint64) error {
	to := c.p.After
	m := &nats.Msg{Subject: PlainSubject(to.View, key), Data: value, Header: nats.Header{
		headerRevision: revisionHeader(revision), headerSequence: c.sequence,
	}}
	if value == nil {
		m.Header[headerOperation] = []string{operationDelete}
	}
	if err := c.store.js.Conn().PublishMsg(m); err != nil {
		return fmt.Errorf("announce %s: %w", to.Bucket, err)
	}
	return nil
}
