package projections

import (
	"iter"

	"rollcall/eventlog"
)

// Gap is one element of a participant's asked field gaps: a time between two of
// the person's connections that none covers.
type Gap struct {
	From    eventlog.Time    `json:"from"`
	To      eventlog.Time    `json:"to"`
	Seconds eventlog.Seconds `json:"seconds"`
}

var gapMembers = document(
	timeField("from", "When the connection before it ended.", func(g *Gap) eventlog.Time { return g.From }),
	timeField("to", "When the connection after it began.", func(g *Gap) eventlog.Time { return g.To }),
	secondsField("seconds", "How long it was.", func(g *Gap) eventlog.Seconds { return g.Seconds }),
)

// GapFields are the members of a gap in JSON.
func GapFields() []Field { return gapMembers.fields() }

// AppendJSON appends the gap as an object.
func (g *Gap) AppendJSON(b []byte) []byte { return gapMembers.appendJSON(b, g) }

// Gaps returns all stretches between two of the person's connections that none
// covers, in order; end is the session's endedAt, zero while it is LIVE. The longest
// is longestGapSeconds. ok is false (null) where the document leaves connections
// out, since these may cover any gap.
func (p *Participant) Gaps(end eventlog.Time) (list []Gap, ok bool) {
	if p.ConnectionsOmitted > 0 {
		return nil, false
	}
	seats := make([]seat, len(p.Connections))
	for i, c := range p.Connections {
		seats[i].joined, seats[i].left = c.JoinedAt, c.LeftAt
	}
	for g := range gaps(seats, end) {
		list = append(list, Gap{g.from, g.to, g.to.Sub(g.from)})
	}
	return list, true
}

// gaps yields the stretches between two connections that none covers. seats are
// sorted by joined.
func gaps(seats []seat, end eventlog.Time) iter.Seq[interval] {
	return func(yield func(interval) bool) {
		var covered eventlog.Time
		for i := range seats {
			joined, left, open := seats[i].interval(end)
			if !end.IsZero() && joined >= end {
				return // this one and all after it are left out
			}
			if i > 0 && joined > covered && !yield(interval{covered, joined}) || open {
				return
			}
			latest(&covered, max(joined, left))
		}
	}
}

// longestGap is the longest of them.
func longestGap(seats []seat, end eventlog.Time) (longest eventlog.Seconds) {
	for g := range gaps(seats, end) {
		longest = max(longest, g.to.Sub(g.from))
	}
	return longest
}
