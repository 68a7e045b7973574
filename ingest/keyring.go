package ingest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// errThrottled: the key could not be confirmed, because it was fetched for
// another wrong signature less than the throttle ago.
var errThrottled = errors.New("key was fetched a moment ago")

// keyring holds the keys of one rsa source. Its methods may be called
// concurrently.
type keyring interface {
	// keys returns those to try now, the current one first; none if there is no
	// usable one. It does not wait for a network.
	keys() []rsaKey
	// confirm makes sure that the keys were current at or after the arrival of
	// a delivery. It blocks for a fetch, and fails if that is not possible
	// now; retry says when it will be.
	confirm(ctx context.Context, arrival time.Time) (retry time.Duration, err error)
	// status describes the ring.
	status() KeyStatus
}

// KeyStatus says how a source's keys are.
type KeyStatus struct {
	Source string
	Scheme Scheme
	// Fingerprints of the keys accepted now, the current one first.
	Fingerprints []string
	// FetchedAt is when the current key was last confirmed; zero: never.
	FetchedAt time.Time
	// Err is why the last refresh failed, nil if it did not.
	Err error
}

// recheck is how often a key file is looked at, so that a key that was taken out
// of it is soon refused; a wrong signature looks at once.
const recheck = time.Second

// key is a key with the name that records carry.
type key interface{ name() string }

// fileKeys are keys from a file. It is read again when it changed, so that it
// can be replaced while the ingester runs; while it can't be read the last keys
// stay.
type fileKeys[K key] struct {
	path  string
	parse func(file []byte) ([]K, error)
	now   func() time.Time

	mu      sync.Mutex
	ring    []K
	size    int64
	changed time.Time
	read    time.Time
	checked time.Time
	err     error
}

func newFileKeys[K key](path string, parse func([]byte) ([]K, error), now func() time.Time) (*fileKeys[K], error) {
	k := &fileKeys[K]{path: path, parse: parse, now: now}
	if err := k.load(); err != nil {
		return nil, err
	}
	return k, nil
}

// load reads the file if it is not the one read last. k.mu is held, or k is new.
func (k *fileKeys[K]) load() error {
	k.checked = k.now()
	if k.path == "" { // given in the configuration
		return nil
	}
	info, err := os.Stat(k.path)
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	if k.ring != nil && k.err == nil && info.Size() == k.size && info.ModTime().Equal(k.changed) {
		return nil
	}
	b, err := readKeyFile(k.path)
	if err != nil {
		return err
	}
	ring, err := k.parse(b)
	if err != nil {
		return fmt.Errorf("key file %s: %w", k.path, err)
	}
	k.ring, k.size, k.changed, k.read = ring, info.Size(), info.ModTime(), k.checked
	return nil
}

func readKeyFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if info.Size() > maxKeyDocument {
		return nil, fmt.Errorf("key file %s has %d bytes; at most %d", path, info.Size(), maxKeyDocument)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	return b, nil
}

func (k *fileKeys[K]) keys() []K {
	k.mu.Lock()
	defer k.mu.Unlock()
	if since := k.now().Sub(k.checked); since >= recheck || since < 0 {
		k.err = k.load()
	}
	return k.ring
}

func (k *fileKeys[K]) confirm(context.Context, time.Time) (time.Duration, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = k.load()
	return time.Second, k.err
}

func (k *fileKeys[K]) status() KeyStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	return KeyStatus{Fingerprints: fingerprints(k.ring), FetchedAt: k.read, Err: k.err}
}

func fingerprints[K key](keys []K) []string {
	var names []string
	for _, k := range keys {
		names = append(names, k.name())
	}
	return names
}
