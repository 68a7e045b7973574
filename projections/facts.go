package projections

import "rollcall/eventlog"

// fact is the earliest or the latest of the times that records give. If its owner
// is dated, it also has the earliest received time of a record that gives exactly
// that time. Merging is commutative, associative and idempotent.
type fact struct{ at, seen eventlog.Time }

// earliest offers a time that a record received at seen gives, and reports a change.
// An owner that is not dated gives no seen.
func (f *fact) earliest(at, seen eventlog.Time) bool {
	return f.merge(fact{at, seen}, f.at.IsZero() || at < f.at)
}

// latest is earliest for the latest time.
func (f *fact) latest(at, seen eventlog.Time) bool {
	return f.merge(fact{at, seen}, at > f.at)
}

func (f *fact) merge(g fact, better bool) bool {
	switch {
	case g.at.IsZero():
		return false
	case better:
		*f = g
		return true
	}
	return g.at == f.at && earliest(&f.seen, g.seen)
}
