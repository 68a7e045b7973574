package replica

import (
	"fmt"
	"strings"
)

// maxTakeovers bounds the take-overs that are remembered. A feed's client that was
// away for more begins again.
const maxTakeovers = 16

// Takeovers are those of a view in their order, each with the first revision
// that is its own: "TAKEOVER@REVISION" with spaces between. A revision alone
// proves nothing: a view that lost its tail gives the same ones again.
type Takeovers string

// with adds the take-over of a commit after a revision, unless it is the last one.
func (p Takeovers) with(takeover string, after uint64) Takeovers {
	all := strings.Fields(string(p))
	if takeover == "" || len(all) > 0 && strings.HasPrefix(all[len(all)-1], takeover+"@") {
		return p
	}
	all = append(all, fmt.Sprintf("%s@%d", takeover, after+1))
	return Takeovers(strings.Join(all[max(0, len(all)-maxTakeovers):], " "))
}

// each visits the take-overs with their revisions, [from, to); 0: without an end.
func (p Takeovers) each(visit func(takeover string, from, to uint64)) {
	all := strings.Fields(string(p))
	first := func(i int) (takeover string, revision uint64) {
		if i < len(all) {
			takeover, rest, _ := strings.Cut(all[i], "@")
			_, _ = fmt.Sscan(rest, &revision) // the sum of the row holds it
			return takeover, revision
		}
		return "", 0
	}
	for i := range all {
		takeover, from := first(i)
		_, to := first(i + 1)
		visit(takeover, from, to)
	}
}

// At is the take-over that a revision belongs to; "": not known.
func (p Takeovers) At(revision uint64) (takeover string) {
	p.each(func(t string, from, _ uint64) {
		if from <= revision {
			takeover = t
		}
	})
	return takeover
}

// Holds reports whether a revision of a take-over is in this past.
func (p Takeovers) Holds(takeover string, revision uint64) (held bool) {
	p.each(func(t string, from, to uint64) {
		held = held || t == takeover && from <= revision && (to == 0 || revision < to)
	})
	return held
}
