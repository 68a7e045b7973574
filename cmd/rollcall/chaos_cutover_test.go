//go:build chaos

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"rollcall/eventlog"
	"rollcall/eventlog/wire"
	"rollcall/projector/viewstore"
)

// pollInterval is how often the readers of TestChaosCutOver look.
const pollInterval = 10 * time.Millisecond

// poll is what a reader saw over its life. It may be used by one goroutine, and
// by the test after that ended.
type poll struct {
	name     string
	look     func(ctx context.Context) (seq eventlog.Seq, generation int, err error)
	times    int
	failures []string
	// backs are steps back: answers that hold less than the one before.
	backs   []stepBack
	longest time.Duration // from one good answer to the next
	at      time.Time
	last    eventlog.Seq
	of      int // the generation that last was of
}

type stepBack struct {
	at         time.Time
	from, to   eventlog.Seq
	old, newer int
}

func (p *poll) run(ctx context.Context) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		seq, generation, err := p.look(ctx)
		if ctx.Err() != nil {
			return
		}
		p.times++
		now := time.Now()
		if err != nil {
			p.failures = append(p.failures, err.Error())
			continue
		}
		if seq < p.last {
			p.backs = append(p.backs, stepBack{now, p.last, seq, p.of, generation})
		}
		if !p.at.IsZero() {
			p.longest = max(p.longest, now.Sub(p.at))
		}
		p.last, p.of, p.at = seq, generation, now
	}
}

// published is the last message of each key that a subscriber of the plain subjects received.
type published struct {
	mu   sync.Mutex
	last map[string]string
	n    int
	back int // messages about a key that hold less of the log than one before: not counted
	seq  map[string]uint64
}

func (s *published) receive(m *nats.Msg) {
	key := strings.TrimPrefix(m.Subject, "rollcall.views.sessions.")
	seq, _ := strconv.ParseUint(m.Header.Get("Rollcall-Sequence"), 10, 64)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	if seq < s.seq[key] { // published late by the command that moved the alias
		s.back++
		return
	}
	s.seq[key], s.last[key] = seq, string(m.Data)
}

// apiPoll asks the read API for a session.
func apiPoll(address, session string) func(ctx context.Context) (eventlog.Seq, int, error) {
	client := &http.Client{Timeout: 5 * time.Second}
	return func(ctx context.Context) (eventlog.Seq, int, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v1/sessions/"+session, nil)
		if err != nil {
			return 0, 0, err
		}
		res, err := client.Do(req)
		if err != nil {
			return 0, 0, err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
			return 0, 0, fmt.Errorf("answer %d, %w", res.StatusCode, err)
		}
		seq, err := strconv.ParseUint(res.Header.Get("Rollcall-Sequence"), 10, 64)
		return eventlog.Seq(seq), 0, err
	}
}

// natsPoll reads the checkpoint and a document of the active generation, as
// another service would.
func natsPoll(r *viewstore.Reader, key string) func(ctx context.Context) (eventlog.Seq, int, error) {
	return func(ctx context.Context) (eventlog.Seq, int, error) {
		alias, err := r.Alias(ctx, "sessions")
		if err != nil {
			return 0, 0, err
		}
		cp, err := r.Checkpoint(ctx, alias.Bucket)
		if err != nil {
			return 0, 0, err
		}
		_, err = r.GetFrom(ctx, alias, key)
		return cp.Sequence, alias.Generation, err
	}
}

// moveOf is a line that rebuild, promote or rollback prints about a cut-over.
func moveOf(t *testing.T, out string) (m moved) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &m); err != nil {
		t.Fatalf("read %q: %v", lines[len(lines)-1], err)
	}
	return m
}

// TestChaosCutOver rebuilds a view during 500 events a second, cuts over, and
// rolls back, while readers look every 10 ms and a subscriber listens.
func TestChaosCutOver(t *testing.T) {
	b := newBed(t, 500)
	b.project(t, "project-1")
	b.project(t, "project-2")
	query := startServe(t, "query", "--target=query", "--nats-url", b.url)
	js := b.js(t)
	reader := viewstore.NewReader(js)

	session := endedSession(t, reader)
	received := &published{last: map[string]string{}, seq: map[string]uint64{}}
	nc, err := nats.Connect(b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sub, err := nc.Subscribe("rollcall.views.sessions.>", received.receive)
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	// The pollers live for all of it.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	polls := []*poll{
		{name: "read API", look: apiPoll(query.at.API, session)},
		{name: "NATS", look: natsPoll(reader, "ended."+session)},
	}
	var wg sync.WaitGroup
	for _, p := range polls {
		wg.Go(func() { p.run(ctx) })
	}
	var rollbacks []time.Time
	worst := 0.0
	runs := max(1, *projectorRuns/3)
	for range runs {
		sometime(t, 2*time.Second)
		over := moveOf(t, cliCommand(t, "rebuild", "sessions", "-o", "json", "--nats-url", b.url))
		sometime(t, 2*time.Second)
		rollbacks = append(rollbacks, time.Now())
		back := moveOf(t, cliCommand(t, "rollback", "sessions", "-o", "json", "--nats-url", b.url))
		worst = max(worst, over.PauseMs, back.PauseMs)
		t.Logf("generation %d active in %.1f ms after %d records, back to %d in %.1f ms", over.Generation, over.PauseMs, over.Records, back.Generation, back.PauseMs)
		sometime(t, 2*time.Second)
		cliCommand(t, "drop", "sessions", "--nats-url", b.url)
	}
	cancel()
	wg.Wait()
	b.settle(t, "rebuild, cut-over, rollback, drop at 500 events/s", runs)

	for _, p := range polls {
		forward := 0
		for _, s := range p.backs {
			// A rollback goes to a lower generation, and lasts a moment in the
			// read API's copy.
			byRollback := s.newer < s.old
			for _, at := range rollbacks {
				byRollback = byRollback || s.old == 0 && s.at.After(at) && s.at.Before(at.Add(time.Second))
			}
			t.Logf("%s: step back from %d (generation %d) to %d (%d), by a rollback: %v", p.name, s.from, s.old, s.to, s.newer, byRollback)
			if !byRollback {
				forward++
			}
		}
		row := fmt.Sprintf("  %-10s %6d polls, %d errors, %d steps back other than by rollback, longest between two answers %.1f ms",
			p.name, p.times, len(p.failures), forward, float64(p.longest.Microseconds())/1000)
		t.Log(row)
		writeRow(t, row)
		if len(p.failures) > 0 || forward > 0 {
			t.Errorf("%s: %d errors %.300q, %d steps back; want none", p.name, len(p.failures), p.failures, forward)
		}
	}
	gaps := received.compare(t, nc, reader)
	row := fmt.Sprintf("  subscriber %6d changes of %d keys received (%d overtaken), %d keys differ in the end; alias moved within %.1f ms at worst",
		received.n, len(received.last), received.back, gaps, worst)
	t.Log(row)
	writeRow(t, row)
	if gaps > 0 {
		t.Errorf("%d keys of the view differ from what the subscriber received last; want none", gaps)
	}
}

// endedSession waits for a session that has ended, which every generation holds
// under the same key from then on.
func endedSession(t *testing.T, r *viewstore.Reader) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		for key, err := range r.Keys(ctx, "sessions", "ended.") {
			if err == nil {
				return strings.TrimPrefix(key, "ended.")
			}
			if !errors.Is(err, viewstore.ErrNoView) {
				t.Fatal(err)
			}
		}
		if err := wire.Pause(ctx, 50*time.Millisecond); err != nil {
			t.Fatal("no session has ended within a minute")
		}
	}
}

// compare counts the keys whose document is not what was published last.
func (s *published) compare(t *testing.T, nc *nats.Conn, r *viewstore.Reader) (gaps int) {
	t.Helper()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	documents := map[string]string{}
	for e, err := range r.All(t.Context(), "sessions", "") {
		if err != nil {
			t.Fatal(err)
		}
		documents[e.Key] = string(e.Value)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, last := range s.last {
		if documents[key] != last {
			if gaps++; gaps <= 3 {
				t.Logf("key %s\n view %s\n published %s", key, documents[key], last)
			}
		}
	}
	return gaps
}
