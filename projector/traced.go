package projector

import (
	"time"

	"rollcall/eventlog"
)

// maxLinks is how many records a CommitSpan links to at most, as many as
// OpenTelemetry keeps of a span by default.
const maxLinks = 128

// CommitSpan is a commit that holds records whose deliveries were traced.
type CommitSpan struct {
	View       string
	Generation int
	// Begun is when the commit left the fold, Ended when its outcome was known, by
	// Config.Now.
	Begun, Ended time.Time
	// From and To are the range [From, To) of sequences by which the view went on.
	From, To eventlog.Seq
	// Records is how many were folded into the view.
	Records int
	// Links are the traceparents of those that were traced, in the order of the log;
	// More is how many were left out.
	Links []string
	More  int
	// Err is why the commit failed; nil: it is stored.
	Err error
}

// tracing gathers what was folded since the last commit.
type tracing struct {
	records int
	links   []string
	more    int
}

// trace notes a record that was folded. In bulk the checkpoint trails what was
// folded, and nobody waits for it: there are no spans.
func (t *task) trace(in *input) {
	if t.p.config.Traced == nil || t.bulk {
		return
	}
	t.tracing.records++
	switch {
	case in.trace == "":
	case len(t.tracing.links) < maxLinks:
		t.tracing.links = append(t.tracing.links, in.trace)
	default:
		t.tracing.more++
	}
}

// span begins the span of a commit, or returns nil where nothing in it was traced.
func (t *task) span(c *Commit) *CommitSpan {
	gathered := t.tracing
	if c == nil {
		return nil
	}
	t.tracing = tracing{}
	if len(gathered.links) == 0 {
		return nil
	}
	return &CommitSpan{
		View: t.p.config.Projection.Name(), Generation: t.Generation, Begun: t.p.config.Now(),
		From: t.Lease.Checkpoint.Sequence + 1, To: c.Checkpoint.Sequence + 1,
		Records: gathered.records, Links: gathered.links, More: gathered.more,
	}
}

// report hands a span on with its outcome.
func (t *task) report(s *CommitSpan, err error) {
	if s != nil {
		s.Ended, s.Err = t.p.config.Now(), err
		t.p.config.Traced(*s)
	}
}
