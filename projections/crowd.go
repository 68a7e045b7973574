package projections

import "rollcall/eventlog"

// crowd is what a session says about its connections as a whole, kept up to date
// change by change. Only a new end of the session looks at all of them again.
type crowd struct {
	people map[string]int // connections by participant id
	total  int
	open   int // without a leave
	unseen int // with the anomaly join-unseen
	peak   peak

	// end is the session's end that the next four were computed with.
	end        eventlog.Time
	sum        tally
	lateLeaves int // left-after-end
	backwards  int // left-before-joined

	// firstJoin is the earliest joinedAt, unless unsure.
	firstJoin eventlog.Time
	unsure    bool
}

// replace counts a connection's new form instead of its old one (nil: new).
func (c *crowd) replace(old, now *link) {
	if old != nil {
		c.count(old, -1)
		c.cut(old, -1)
		c.unsure = c.unsure || old.joined == c.firstJoin && now.joined != old.joined
	}
	c.count(now, 1)
	c.cut(now, 1)
	earliest(&c.firstJoin, now.joined)
}

func (c *crowd) count(l *link, n int) {
	if c.people == nil {
		c.people = make(map[string]int)
	}
	if c.people[l.participant] += n; c.people[l.participant] == 0 {
		delete(c.people, l.participant)
	}
	c.total += n
	if l.left.IsZero() {
		c.open += n
	}
	if l.unseen {
		c.unseen += n
	}
	c.peak.add(l.joined, l.left, n)
}

// cut counts what depends on the session's end.
func (c *crowd) cut(l *link, n int) {
	c.sum.add(l.seconds(c.end), int64(n))
	left := l.left
	if left.IsZero() {
		left = c.end
	} else if !c.end.IsZero() && left > c.end {
		c.lateLeaves += n
	}
	if !left.IsZero() && left < l.joined {
		c.backwards += n
	}
}

// settle counts with the session's end as it now is, and reports a new one.
func (c *crowd) settle(end eventlog.Time, peers map[string]*peer) bool {
	if end == c.end {
		return false
	}
	c.end, c.sum, c.lateLeaves, c.backwards = end, tally{}, 0, 0
	for _, p := range peers {
		l := p.link()
		c.cut(&l, 1)
	}
	return true
}

// first returns the earliest joinedAt. It is called only where startedAt depends
// on it.
func (c *crowd) first(peers map[string]*peer) eventlog.Time {
	if c.unsure {
		c.firstJoin, c.unsure = 0, false
		for _, p := range peers {
			l := p.link()
			earliest(&c.firstJoin, l.joined)
		}
	}
	return c.firstJoin
}

func (c *crowd) size() int { return c.peak.size() + len(c.people)*64 }
