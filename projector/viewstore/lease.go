package viewstore

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nuid"

	"rollcall/eventlog/wire"
	"rollcall/projector"
)

// leaseRecord is the value of lease.<bucket>. An empty holder has released it.
type leaseRecord struct {
	Holder string `json:"holder"`
	Bucket string `json:"bucket"`

	storedAt time.Time
}

// standbyPoll is how often a standby looks at the lease.
const standbyPoll = 200 * time.Millisecond

// lease keeps two projectors from competing. It is advisory: the fence on the
// checkpoint makes a stale one harmless. A lease that
// nobody renews for its TTL, by the standby's own clock, is free, so that no
// two clocks need to agree.
type lease struct {
	store   *Store
	holder  string // unique to this lease
	bucket  string
	subject string
	lost    chan struct{}
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu       sync.Mutex
	revision uint64 // guarded by mu
}

// takeLease waits for the lease, takes it, and renews it until it is released.
func (s *Store) takeLease(ctx context.Context, bucket string, c projector.LeaseRequest) (*lease, error) {
	l := &lease{
		store: s, holder: s.config.Holder + "/" + nuid.Next(), bucket: bucket, lost: make(chan struct{}),
		subject: documentSubject(Control, leasePrefix+bucket),
	}
	var seen uint64
	var since time.Time
	notified := false
	began := time.Now()
	for {
		record, revision, err := l.read(ctx)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		if revision != seen || since.IsZero() {
			seen, since = revision, now
		}
		free := revision == 0 || record.Holder == "" || c.Steal || now.Sub(since) > s.config.LeaseTTL ||
			s.config.Exclusive && record.storedAt.Before(s.opened)
		if free {
			err := l.write(ctx, l.holder, revision)
			if err == nil {
				break
			}
			if !wire.IsConflict(err) {
				return nil, fmt.Errorf("take lease of %s: %w", bucket, err)
			}
			// Another process was faster, or the replica that answered lags.
		} else if !notified && c.OnStandby != nil {
			c.OnStandby(record.Holder)
			notified = true
		}
		if c.MaxWait > 0 && now.Sub(began) > c.MaxWait {
			return nil, fmt.Errorf("%w: %s holds the lease of %s", projector.ErrBusy, record.Holder, bucket)
		}
		if err := wire.Pause(ctx, standbyPoll); err != nil {
			return nil, err
		}
	}
	renew, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	l.wg.Go(func() { l.renew(renew) })
	return l, nil
}

func (l *lease) read(ctx context.Context) (leaseRecord, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, l.store.config.Timeout)
	defer cancel()
	m, err := l.store.last(ctx, StreamOf(Control), l.subject)
	if err != nil {
		return leaseRecord{}, 0, fmt.Errorf("read lease of %s: %w", l.bucket, err)
	}
	if m == nil {
		return leaseRecord{}, 0, nil
	}
	var r leaseRecord
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return leaseRecord{}, m.Sequence, nil // an unreadable lease is a free one
	}
	r.storedAt = m.Time
	return r, m.Sequence, nil
}

func (l *lease) write(ctx context.Context, holder string, revision uint64) error {
	next, err := l.store.put(ctx, l.subject, leaseRecord{Holder: holder, Bucket: l.bucket}, revision)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.revision = next
	l.mu.Unlock()
	return nil
}

func (l *lease) current() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.revision
}

// renew writes the lease again and again. A write whose outcome is unknown
// shows as a conflict the next time; then the lease says who holds it.
func (l *lease) renew(ctx context.Context) {
	for wire.Pause(ctx, l.store.config.LeaseTTL/3) == nil {
		err := l.write(ctx, l.holder, l.current())
		if err == nil || !wire.IsConflict(err) {
			continue
		}
		record, revision, err := l.read(ctx)
		if err != nil {
			continue
		}
		if record.Holder != l.holder {
			close(l.lost)
			return
		}
		l.mu.Lock()
		l.revision = revision
		l.mu.Unlock()
	}
}

// release stops the renewal and frees the lease, if it is still ours.
func (l *lease) release(ctx context.Context) error {
	l.cancel()
	l.wg.Wait()
	select {
	case <-l.lost:
		return nil
	default:
	}
	err := l.write(ctx, "", l.current())
	if wire.IsConflict(err) {
		// Either another process holds it, or our last renewal arrived late.
		record, revision, rerr := l.read(ctx)
		if rerr != nil || record.Holder != l.holder {
			return rerr
		}
		err = l.write(ctx, "", revision)
	}
	if err != nil && !wire.IsConflict(err) {
		return fmt.Errorf("release lease of %s: %w", l.bucket, err)
	}
	return nil
}
