package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/projector/viewstore"
)

// board shows the sessions as their view says: a table that is drawn again on a
// terminal, lines elsewhere.
type board struct {
	out      io.Writer
	as       console.TableFlags
	live     bool
	sessions map[string]projections.Session
	drawn    int
	sequence eventlog.Seq
}

const boardRows = 12

func (b *board) run(ctx context.Context, r *viewstore.Reader) error {
	b.sessions = map[string]projections.Session{}
	for change, err := range r.Follow(ctx, "sessions", viewstore.Position{}) {
		if err != nil {
			return err
		}
		switch change.Kind {
		case viewstore.Put:
			s, err := projections.Parse[projections.Session](change.Value)
			if err != nil {
				return fmt.Errorf("read session document: %w", err)
			}
			b.put(s)
		case viewstore.Reset:
			clear(b.sessions)
		case viewstore.Commit:
			b.sequence = change.Checkpoint.Sequence
			if b.live {
				b.draw(time.Now())
			}
		}
	}
	return ctx.Err()
}

func (b *board) put(s projections.Session) {
	before, known := b.sessions[s.SessionID]
	b.sessions[s.SessionID] = s
	if b.live {
		b.trim()
		return
	}
	switch {
	case !known && s.Status == "LIVE":
		fmt.Fprintf(b.out, "%s  started  %-28s %s\n", b.as.Time(s.StartedAt.Std()), console.Printable(s.Title), s.SessionID)
	case s.Status == "ENDED" && before.Status != "ENDED":
		fmt.Fprintf(b.out, "%s  ended    %-28s %s  %.1f s, %d people, %s\n", b.as.Time(s.EndedAt.Std()), console.Printable(s.Title), s.SessionID,
			seconds(s), s.UniqueParticipants, s.EndReason)
	}
}

// trim forgets the oldest ended sessions: the demo may run for days.
func (b *board) trim() {
	if len(b.sessions) <= 200 {
		return
	}
	for _, s := range b.sorted()[100:] {
		if s.Status == "ENDED" {
			delete(b.sessions, s.SessionID)
		}
	}
}

// sorted is live sessions first, then the latest.
func (b *board) sorted() []projections.Session {
	all := make([]projections.Session, 0, len(b.sessions))
	for _, s := range b.sessions {
		all = append(all, s)
	}
	slices.SortFunc(all, func(x, y projections.Session) int {
		return cmp.Or(cmp.Compare(y.Status, x.Status), cmp.Compare(y.StartedAt, x.StartedAt), cmp.Compare(x.SessionID, y.SessionID))
	})
	return all
}

func (b *board) draw(now time.Time) {
	g := &console.Grid{Columns: []string{"status", "title", "in", "people", "startedAt", "lasts", "session"}, Least: []string{"lasts", "people"}}
	live := 0
	for i, s := range b.sorted() {
		if s.Status == "LIVE" {
			live++
		}
		if i >= boardRows {
			continue
		}
		lasts := now.Sub(s.StartedAt.Std())
		if s.Status == "ENDED" {
			lasts = time.Duration(seconds(s) * float64(time.Second))
		}
		g.Add(s.Status, s.Title, s.LiveParticipants, s.UniqueParticipants, s.StartedAt, lasts.Round(100*time.Millisecond), s.SessionID)
	}
	var text strings.Builder
	_ = b.as.Draw(&text, g, b.out) // a Builder takes everything
	text.WriteString(b.as.Line(b.out, " ", fmt.Sprintf("%d live, %d seen, log at %d; Ctrl-C ends the demo", live, len(b.sessions), b.sequence)))
	if b.drawn > 0 {
		fmt.Fprintf(b.out, "\x1b[%dA\x1b[J", b.drawn)
	}
	b.drawn = strings.Count(text.String(), "\n")
	fmt.Fprint(b.out, text.String())
}

func seconds(s projections.Session) float64 { return s.EndedAt.Std().Sub(s.StartedAt.Std()).Seconds() }
