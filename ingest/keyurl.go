package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/rs/zerolog"
)

const (
	// firstRetry is the wait after a failed fetch while there is no key at all;
	// it doubles up to the throttle.
	firstRetry   = time.Second
	maxRedirects = 3
)

// urlKeys are keys fetched from an https URL. One goroutine, run, fetches; the
// ring is what was fetched last and what it replaced.
type urlKeys struct {
	url       string
	cache     string // file, "" for none
	client    *http.Client
	interval  time.Duration
	throttle  time.Duration
	timeout   time.Duration
	overlap   time.Duration
	now       func() time.Time
	logger    zerolog.Logger
	onRefresh func(ok bool)
	wake      chan struct{}

	mu      sync.Mutex
	ring    []urlKey
	fetched time.Time  // start of the last fetch that succeeded
	forced  time.Time  // last fetch for a wrong signature
	call    *fetchCall // asked for or under way
	err     error
}

// urlKey is a key of the ring; a replaced one is accepted until it retires.
type urlKey struct {
	rsaKey
	retires time.Time // zero: it is current
}

// fetchCall is one fetch that requests wait for.
type fetchCall struct {
	done chan struct{} // closed when it ended
}

func newURLKeys(c Config, s Source, logger zerolog.Logger, onRefresh func(bool)) *urlKeys {
	transport := c.KeyTransport
	if transport == nil {
		transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	k := &urlKeys{
		url: s.Key, interval: c.KeyInterval, throttle: c.KeyThrottle, timeout: c.KeyTimeout, overlap: c.KeyOverlap,
		now: c.Now, logger: logger, onRefresh: onRefresh, wake: make(chan struct{}, 1),
		client: &http.Client{Transport: transport, CheckRedirect: sameHost},
	}
	if c.KeyDir != "" {
		k.cache = filepath.Join(c.KeyDir, s.Name+".json")
		k.restore()
	}
	return k
}

// sameHost lets the key endpoint redirect only within its own host and over https:
// anyone who could redirect us elsewhere could choose the key.
func sameHost(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects || r.URL.Scheme != "https" || r.URL.Host != via[0].URL.Host {
		return errors.New("it redirects elsewhere")
	}
	return nil
}

func (k *urlKeys) keys() []rsaKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	var keys []rsaKey
	for _, u := range k.ring {
		if u.retires.IsZero() || now.Before(u.retires) {
			keys = append(keys, u.rsaKey)
		}
	}
	return keys
}

func (k *urlKeys) status() KeyStatus {
	names := fingerprints(k.keys())
	k.mu.Lock()
	defer k.mu.Unlock()
	return KeyStatus{Fingerprints: names, FetchedAt: k.fetched, Err: k.err}
}

// confirm waits for a fetch that started at or after arrival. The provider may
// have changed its key in the moment before it signed, so an older one proves
// nothing.
func (k *urlKeys) confirm(ctx context.Context, arrival time.Time) (retry time.Duration, err error) {
	for {
		call, own, retry := k.ask(arrival)
		if call == nil {
			if retry > 0 {
				return retry, errThrottled
			}
			return 0, nil
		}
		select {
		case <-ctx.Done():
			return time.Second, ctx.Err()
		case <-call.done:
		}
		k.mu.Lock()
		confirmed, err := k.confirmed(arrival), k.err
		k.mu.Unlock()
		switch {
		case confirmed:
			return 0, nil
		case err != nil:
			return k.throttle, err
		case own:
			return k.throttle, errThrottled
		}
		// It was under way when the delivery arrived, so it proves nothing: ask
		// for another.
	}
}

// ask returns the fetch to wait for, and whether it was made for the caller.
// Without one the ring is confirmed already or, with retry, can't be before.
func (k *urlKeys) ask(arrival time.Time) (call *fetchCall, own bool, retry time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	since := now.Sub(k.forced)
	switch {
	case k.confirmed(arrival):
		return nil, false, 0
	case k.call != nil:
		return k.call, false, 0
	case !k.forced.IsZero() && since >= 0 && since < k.throttle:
		return nil, false, k.throttle - since
	}
	k.call, k.forced = &fetchCall{done: make(chan struct{})}, now
	select {
	case k.wake <- struct{}{}:
	default:
	}
	return k.call, true, 0
}

// confirmed reports whether the ring was fetched for a delivery that arrived
// then. k.mu is held.
func (k *urlKeys) confirmed(arrival time.Time) bool {
	return !k.fetched.IsZero() && !k.fetched.Before(arrival)
}

// run fetches at once, every interval, and when a request asks for it, until
// ctx ends.
func (k *urlKeys) run(ctx context.Context) {
	wait := firstRetry
	for {
		err := k.refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		next := k.interval
		switch {
		case err == nil:
			wait = firstRetry
		case len(k.keys()) == 0:
			next = wait
			wait = min(2*wait, max(k.throttle, firstRetry))
		default:
			next = min(k.throttle, k.interval)
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-k.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// refresh fetches once and answers all who asked before it started.
func (k *urlKeys) refresh(ctx context.Context) error {
	k.mu.Lock()
	start := k.now()
	select {
	case <-k.wake: // it is answered by this fetch
	default:
	}
	if k.call == nil {
		k.call = &fetchCall{done: make(chan struct{})}
	}
	call := k.call
	k.mu.Unlock()
	document, err := k.fetch(ctx)
	var fresh []rsaKey
	if err == nil {
		fresh, err = parseRSAKeys(document)
	}
	k.mu.Lock()
	k.err = err
	if err == nil {
		k.install(fresh, start)
	}
	k.call = nil
	close(call.done)
	k.mu.Unlock()
	if ctx.Err() == nil {
		k.onRefresh(err == nil)
		if err != nil {
			k.logger.Warn().Err(err).Int("keys", len(k.keys())).Msg("key not refreshed; deliveries are checked with the keys there are")
		}
	}
	return err
}

// install makes fresh the current keys. k.mu is held.
func (k *urlKeys) install(fresh []rsaKey, start time.Time) {
	var ring []urlKey
	for _, f := range fresh {
		ring = append(ring, urlKey{rsaKey: f})
	}
	changed := false
	for _, old := range k.ring {
		if slices.ContainsFunc(ring, func(u urlKey) bool { return u.fingerprint == old.fingerprint }) {
			continue
		}
		if old.retires.IsZero() {
			old.retires = start.Add(k.overlap)
			changed = true
		}
		if start.Before(old.retires) {
			ring = append(ring, old)
		}
	}
	if changed || len(k.ring) == 0 {
		k.logger.Info().Strs("key_fingerprints", fingerprints(fresh)).Msg("key changed")
	}
	k.ring, k.fetched = ring, start
	if err := k.save(); err != nil {
		k.logger.Warn().Err(err).Msg("key not kept on disk")
	}
}

// fetch gets the key document. Its errors say nothing of a URL's query.
func (k *urlKeys) fetch(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, http.NoBody)
	if err != nil {
		return nil, errors.New("fetch key: bad URL")
	}
	res, err := k.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, fmt.Errorf("fetch key from %s: %w", req.URL.Host, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch key from %s: status %d", req.URL.Host, res.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxKeyDocument+1))
	if err != nil {
		return nil, fmt.Errorf("fetch key from %s: %w", req.URL.Host, err)
	}
	if len(b) > maxKeyDocument {
		return nil, fmt.Errorf("fetch key from %s: more than %d bytes", req.URL.Host, maxKeyDocument)
	}
	return b, nil
}

// cachedKeys is the ring on disk.
type cachedKeys struct {
	URL  string      `json:"url"`
	Keys []cachedKey `json:"keys"`
}

// cachedKey is a key of the ring on disk.
type cachedKey struct {
	PEM     string    `json:"pem"`
	Retires time.Time `json:"retires,omitzero"`
}

// save keeps the ring for the next start. k.mu is held.
func (k *urlKeys) save() error {
	if k.cache == "" {
		return nil
	}
	c := cachedKeys{URL: k.url}
	for _, u := range k.ring {
		c.Keys = append(c.Keys, cachedKey{PEM: u.pem, Retires: u.retires})
	}
	b, err := json.Marshal(&c)
	if err != nil {
		return fmt.Errorf("encode keys: %w", err)
	}
	if old, err := os.ReadFile(k.cache); err == nil && bytes.Equal(old, b) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(k.cache), 0o700); err != nil {
		return fmt.Errorf("keep keys: %w", err)
	}
	// The cache is trusted at the next start: only this user may write it.
	if err := os.WriteFile(k.cache+".new", b, 0o600); err != nil {
		return fmt.Errorf("keep keys: %w", err)
	}
	if err := os.Rename(k.cache+".new", k.cache); err != nil {
		return fmt.Errorf("keep keys: %w", err)
	}
	return nil
}

// restore loads the ring of the last run, if it is of the same URL. What it
// can't read it leaves: the first fetch brings the keys.
func (k *urlKeys) restore() {
	b, err := os.ReadFile(k.cache)
	if err != nil || len(b) > 16*maxKeyDocument {
		return
	}
	var c cachedKeys
	if json.Unmarshal(b, &c) != nil || c.URL != k.url {
		return
	}
	for _, cached := range c.Keys {
		keys, err := parseRSAKeys([]byte(cached.PEM))
		if err != nil || len(keys) != 1 {
			continue
		}
		k.ring = append(k.ring, urlKey{rsaKey: keys[0], retires: cached.Retires})
	}
}
