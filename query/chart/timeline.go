package chart

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/eventlog"
	"rollcall/projections"
)

const (
	width    = 1000 // of every chart
	margin   = 16
	names    = 190 // column of names
	plotLeft = margin + names
	plotWide = width - plotLeft - margin
	stepsTop = 78
	stepsHi  = 110
	lane     = 15
	// maxRows bounds a chart's rows; a note says how many more there are.
	maxRows = 500
)

// Options are what a chart needs besides documents.
type Options struct {
	// Zone is the time zone that times are written in; nil: UTC.
	Zone *time.Location
	// Now ends what is still open. The zero value: the session's last event.
	Now time.Time
}

func (o Options) zone() *time.Location { return cmp.Or(o.Zone, time.UTC) }

// span is one connection in the chart.
type span struct {
	from, to eventlog.Time
	open     bool
	closedBy string
	peer     string
}

// Timeline draws a session: how many were present, and a bar for each connection,
// one row a participant, in the order of their first joins; two connections at
// once are drawn one below the other. Participants past the first 500 are only
// counted.
func Timeline(session projections.Session, participants []projections.Participant, o Options) []byte {
	t := timeline{session: session, zone: o.zone(), people: slices.Clone(participants)}
	slices.SortStableFunc(t.people, func(a, b projections.Participant) int {
		return cmp.Or(cmp.Compare(a.FirstJoinedAt, b.FirstJoinedAt), cmp.Compare(a.ParticipantID, b.ParticipantID))
	})
	t.now = session.LastEventAt
	if !o.Now.IsZero() {
		t.now = eventlog.TimeOf(o.Now)
	}
	t.span()
	return t.draw()
}

// timeline is a session on its way into a chart.
type timeline struct {
	session  projections.Session
	people   []projections.Participant
	zone     *time.Location
	now      eventlog.Time // where open connections end
	from, to eventlog.Time
}

// span finds the time that the chart covers.
func (t *timeline) span() {
	t.from, t.to = t.session.StartedAt, t.session.EndedAt
	if t.session.Status == projections.Live {
		t.to = t.now
	}
	for i := range t.people {
		for _, s := range t.spans(&t.people[i]) {
			if t.from.IsZero() || s.from < t.from {
				t.from = s.from
			}
			t.to = max(t.to, s.to)
		}
	}
	t.to = max(t.to, t.from+eventlog.Time(eventlog.Second))
}

func (t *timeline) spans(p *projections.Participant) []span {
	var all []span
	for _, c := range p.Connections {
		if c.JoinedAt.IsZero() {
			continue
		}
		s := span{from: c.JoinedAt, to: c.LeftAt, open: c.LeftAt.IsZero(), closedBy: c.ClosedBy, peer: c.PeerID}
		if s.open {
			s.to = max(t.now, s.from)
		}
		all = append(all, s)
	}
	return all
}

// step is how many were present from a moment on.
type step struct {
	at eventlog.Time
	n  int
}

// steps counts who was present, at each change.
func (t *timeline) steps() []step {
	var all []step
	for i := range t.people {
		for _, s := range t.spans(&t.people[i]) {
			to := s.to
			if !t.session.EndedAt.IsZero() {
				to = min(to, t.session.EndedAt)
			}
			if to > s.from || s.open {
				all = append(all, step{s.from, 1})
			}
			if to > s.from && !s.open {
				all = append(all, step{to, -1})
			}
		}
	}
	slices.SortFunc(all, func(a, b step) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.n, b.n)) })
	n := 0
	out := all[:0]
	for _, s := range all {
		n += s.n
		if len(out) > 0 && out[len(out)-1].at == s.at {
			out[len(out)-1].n = n
		} else {
			out = append(out, step{s.at, n})
		}
	}
	return out
}

// x is a moment's place.
func (t *timeline) x(at eventlog.Time) float64 {
	share := float64(at-t.from) / float64(t.to-t.from)
	return plotLeft + min(1, max(0, share))*plotWide
}

func (t *timeline) clock(at eventlog.Time, layout string) string {
	return at.Std().In(t.zone).Format(layout)
}

func (t *timeline) draw() []byte {
	var body strings.Builder
	line := t.steps()
	most := step{}
	for _, s := range line {
		if s.n > most.n {
			most = s
		}
	}
	rows := t.people[:min(len(t.people), maxRows)]
	var bars strings.Builder
	bottom := t.bars(&bars, rows, stepsTop+stepsHi+40)
	t.axis(&body, stepsTop, bottom) // beneath everything else
	t.stepLine(&body, line, most.n)
	body.WriteString(bars.String())
	note := ""
	if more := len(t.people) - len(rows); more > 0 {
		bottom += lane + 4
		note = fmt.Sprintf("<text class=\"dim\" x=\"%d\" y=\"%d\">and %d more participants</text>\n", margin, bottom-4, more)
	}
	title := cmp.Or(t.session.Title, t.session.RoomName, t.session.SessionID)
	what := fmt.Sprintf("%s, %s to %s (%s), %d participants, peak %d", t.clock(t.from, time.DateOnly), t.clock(t.from, time.TimeOnly), t.clock(t.to, time.TimeOnly), t.zone, len(t.people), most.n)
	var b strings.Builder
	begin(&b, bottom+44, title, "Session "+t.session.SessionID+": "+what)
	fmt.Fprintf(&b, "<text class=\"title\" x=\"%d\" y=\"32\">%s</text>\n<text class=\"dim\" x=\"%d\" y=\"52\">%s</text>\n", margin, label(title, 80), margin, escape(what))
	b.WriteString(body.String())
	b.WriteString(note)
	legend(&b, bottom+26)
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// bars draws the rows and returns where they end.
func (t *timeline) bars(b *strings.Builder, rows []projections.Participant, y int) int {
	for i := range rows {
		p := &rows[i]
		var lanes []eventlog.Time
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\">%s</text>\n", margin, y+11, label(cmp.Or(p.DisplayName, p.ParticipantID), 24))
		for _, s := range t.spans(p) {
			at := slices.IndexFunc(lanes, func(end eventlog.Time) bool { return end <= s.from })
			if at < 0 {
				at, lanes = len(lanes), append(lanes, 0)
			}
			lanes[at] = s.to
			class, how := "left", "left"
			switch {
			case s.open:
				class, how = "open", "still in"
			case s.closedBy == projections.ClosedByEnd:
				class, how = "end", "until the meeting ended"
			}
			wide := max(2, t.x(s.to)-t.x(s.from))
			fmt.Fprintf(b, "<rect class=\"%s\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"11\" rx=\"2\"><title>%s to %s, %s, %s, peer %s</title></rect>\n", class, t.x(s.from), y+at*lane+1, wide,
				t.clock(s.from, time.TimeOnly), t.clock(s.to, time.TimeOnly), s.to.Sub(s.from).Clock(), how, label(s.peer, 60))
			if s.open {
				fmt.Fprintf(b, "<path class=\"goeson\" d=\"M%.1f,%dv11m3,-11v11\"/>\n", t.x(s.to)-3, y+at*lane+1)
			}
		}
		y += max(1, len(lanes))*lane + 4
	}
	return y
}

// stepLine draws how many were present.
func (t *timeline) stepLine(b *strings.Builder, line []step, most int) {
	base := stepsTop + stepsHi
	y := func(n int) float64 { return float64(base) - float64(n)/float64(max(1, most))*(stepsHi-10) }
	var d strings.Builder
	fmt.Fprintf(&d, "M%d,%d", plotLeft, base)
	for _, s := range line {
		fmt.Fprintf(&d, "H%.1fV%.1f", t.x(s.at), y(s.n))
	}
	fmt.Fprintf(&d, "H%d", plotLeft+plotWide)
	fmt.Fprintf(b, "<text class=\"dim\" x=\"%d\" y=\"%d\">in at one time</text>\n<text class=\"dim num\" x=\"%d\" y=\"%.0f\">%d</text>\n<text class=\"dim num\" x=\"%d\" y=\"%d\">0</text>\n", margin, base-40, plotLeft-8, y(most)+4, most, plotLeft-8, base)
	fmt.Fprintf(b, "<path class=\"area\" d=\"%sV%dZ\"/>\n<path class=\"line\" d=\"%s\"/>\n", d.String(), base, d.String())
}

// axis draws the round times through both charts.
func (t *timeline) axis(b *strings.Builder, top, bottom int) {
	from, to := t.from.Std().In(t.zone), t.to.Std().In(t.zone)
	var before time.Time
	for _, at := range ticks(from, to, 8) {
		x := t.x(eventlog.TimeOf(at))
		layout := "15:04"
		switch {
		case to.Sub(from) > 24*time.Hour && (before.IsZero() || at.YearDay() != before.YearDay()):
			layout = "2 Jan" // of several days the first tick of each names it
		case at.Second() != 0:
			layout = time.TimeOnly
		}
		before = at
		fmt.Fprintf(b, "<path class=\"grid\" d=\"M%.1f,%dV%d\"/>\n", x, top, bottom)
		if x < width-60 {
			fmt.Fprintf(b, "<text class=\"dim\" x=\"%.1f\" y=\"%d\">%s</text>\n", x+3, stepsTop+stepsHi+16, at.Format(layout))
		}
	}
}

func legend(b *strings.Builder, y int) {
	for i, e := range []struct{ class, says string }{{"left", "left"}, {"end", "closed by the meeting's end"}, {"open", "still in"}} {
		x := plotLeft + []int{0, 90, 330}[i]
		fmt.Fprintf(b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"30\" height=\"11\" rx=\"2\"/><text class=\"dim\" x=\"%d\" y=\"%d\">%s</text>\n", e.class, x, y-10, x+36, y, escape(e.says))
	}
}
