package history

import (
	"context"
	"fmt"

	"rollcall/eventlog"
)

// NotYetError says that there was no such session at the moment asked for.
type NotYetError struct {
	Session string
	// Sequence and ReceivedAt are of the record that began the session, by the measure
	// of the question: the least sequence, or the earliest received time. They are
	// zero where the log holds no such record.
	Sequence   eventlog.Seq
	ReceivedAt eventlog.Time
}

func (e *NotYetError) Error() string {
	text := fmt.Sprintf("no session %q as of then", e.Session)
	if e.Sequence == 0 {
		return text
	}
	return fmt.Sprintf("%s: the record that began it has sequence %d, received at %v; ask for that or later", text, e.Sequence, e.ReceivedAt)
}

// notYet is the *NotYetError of a question, or why it can't be said.
func (l *Reader) notYet(ctx context.Context, head eventlog.Head, q Question) error {
	e := &NotYetError{Session: q.Session}
	err := l.Scan(ctx, eventlog.ReadOptions{UpTo: head.Last, Slices: q.Slices}, func(r *eventlog.Record) bool {
		if ev, ok := InSession(r, q.Session); ok && (e.Sequence == 0 || r.ReceivedAt < e.ReceivedAt) && q.opens(ev) {
			e.Sequence, e.ReceivedAt = r.Seq, r.ReceivedAt
		}
		return e.Sequence == 0 || !q.At.IsZero()
	})
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	return e
}

// opens reports whether an event alone makes a session.
func (q *Question) opens(ev *eventlog.Event) bool {
	alone := states{}
	for _, fold := range q.Folds {
		if fold.Name() == viewSessions {
			alone.apply(fold, ev)
		}
	}
	return len(alone.documents()[viewSessions]) > 0
}
