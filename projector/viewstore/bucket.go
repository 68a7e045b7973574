package viewstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/projector"
)

// bucketConfig is a bucket's stream. It is managed as a stream: the KV
// interface of nats.go has no field for atomic batches, and UpdateKeyValue
// turns them off silently.
func (s *Store) bucketConfig(bucket string, subjects ...string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        StreamOf(bucket),
		Description: "Rollcall view; read it as KV bucket " + bucket,
		Subjects:    append([]string{"$KV." + bucket + ".>"}, subjects...),
		// One value a key: a replay of the log is what history is for.
		MaxMsgsPerSubject: 1,
		// Old, so that a full bucket never refuses a checkpoint's successor.
		Discard:  jetstream.DiscardOld,
		Storage:  jetstream.FileStorage,
		Replicas: max(1, s.config.Replicas),
		// A commit is one batch: all of it, or nothing.
		AllowAtomicPublish: true,
		// Delete markers go away by themselves.
		AllowMsgTTL: true,
		// Reads are answered without the API's queue.
		AllowDirect: true,
		// What KV purge needs; and nobody deletes a single message by its number.
		AllowRollup: true,
		DenyDelete:  true,
		// Nothing of ours sends message ids to views.
		Duplicates: 0,
		Metadata:   map[string]string{"rollcall": "view"},
	}
}

// control makes the control bucket where it is missing.
func (s *Store) control(ctx context.Context) error {
	_, err := s.ensure(ctx, s.bucketConfig(Control))
	return err
}

// ensure makes the bucket's stream, or checks the one that is there.
func (s *Store) ensure(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	stream, err := s.existing(ctx, want)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return stream, err
	}
	stream, err = s.js.CreateStream(ctx, want)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return s.existing(ctx, want)
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", want.Name, err)
	}
	return suitable(stream, want)
}

// existing returns the bucket's stream if it is there, and can hold a view.
func (s *Store) existing(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	stream, err := s.js.Stream(ctx, want.Name)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", want.Name, err)
	}
	return suitable(stream, want)
}

// suitable returns a stream that can hold a view.
func suitable(stream jetstream.Stream, want jetstream.StreamConfig) (jetstream.Stream, error) {
	got := stream.CachedInfo().Config
	var wrong []string
	for _, c := range []struct {
		name string
		ok   bool
	}{
		{"allow_atomic", got.AllowAtomicPublish},
		{"allow_msg_ttl", got.AllowMsgTTL},
		{"allow_direct", got.AllowDirect},
		{"max_msgs_per_subject 1", got.MaxMsgsPerSubject == 1},
		{"discard old", got.Discard == jetstream.DiscardOld},
		{"subjects " + strings.Join(want.Subjects, ","), slices.Equal(got.Subjects, want.Subjects)},
	} {
		if !c.ok {
			wrong = append(wrong, c.name)
		}
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("%w: stream %s lacks %s; set it with `nats stream edit`, or delete the stream to have the view folded again",
			projector.ErrSettings, want.Name, strings.Join(wrong, ", "))
	}
	return stream, nil
}
