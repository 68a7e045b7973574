package projections

import (
	"cmp"
	"slices"
	"sort"

	"rollcall/eventlog"
)

// peak finds the greatest number of connections at one time. It keeps by how
// much their number changes at each instant: a leave at T is before a join at T,
// so what matters is the sum of the two, and the answer is the greatest sum of
// all changes up to some instant. The instants lie sorted in blocks of at most
// blockSize with a summary each, so that a change costs a search and one block,
// and the answer a walk over the summaries.
type peak struct {
	blocks []block
	count  int
}

// block is steps that follow each other, with their summary.
type block struct {
	steps []step
	sum   int // of the block's changes
	most  int // greatest sum from the block's start to one of its steps
}

// step is by how much the number of connections changes at an instant.
type step struct {
	at     eventlog.Time
	change int
}

const blockSize = 128

// add counts a connection (or takes it back with n = -1). left is zero where
// nothing closed it; an empty one counts nothing.
func (p *peak) add(joined, left eventlog.Time, n int) {
	if left.IsZero() {
		p.step(joined, n)
	} else if left > joined {
		p.step(joined, n)
		p.step(left, -n)
	}
}

// step changes the number of connections by so many at an instant. An instant
// whose changes cancel out is removed, and its block once it is empty.
func (p *peak) step(at eventlog.Time, change int) {
	i := sort.Search(len(p.blocks), func(i int) bool { // the first block that begins after at
		return p.blocks[i].steps[0].at > at
	}) - 1
	if i < 0 {
		i = 0
		if len(p.blocks) == 0 {
			p.blocks = append(p.blocks, block{})
		}
	}
	b := &p.blocks[i]
	j, found := slices.BinarySearchFunc(b.steps, at, func(s step, t eventlog.Time) int { return cmp.Compare(s.at, t) })
	switch {
	case found:
		b.steps[j].change += change
		if b.steps[j].change == 0 {
			b.steps = slices.Delete(b.steps, j, j+1)
			p.count--
			if len(b.steps) == 0 {
				p.blocks = slices.Delete(p.blocks, i, i+1)
				return
			}
		}
	default:
		b.steps = slices.Insert(b.steps, j, step{at, change})
		p.count++
		if len(b.steps) > blockSize {
			p.split(i)
			return
		}
	}
	b.sum, b.most = walk(b.steps)
}

// split halves a block; the last one, which grows at its end, keeps all but its
// last step, so that blocks of a log in order are full.
func (p *peak) split(i int) {
	steps := p.blocks[i].steps
	cut := len(steps) / 2
	if i == len(p.blocks)-1 {
		cut = len(steps) - 1
	}
	rest := block{steps: append(make([]step, 0, blockSize+1), steps[cut:]...)}
	p.blocks[i].steps = steps[:cut]
	p.blocks = slices.Insert(p.blocks, i+1, rest)
	for k := i; k <= i+1; k++ {
		b := &p.blocks[k]
		b.sum, b.most = walk(b.steps)
	}
}

func walk(steps []step) (sum, most int) {
	for _, s := range steps {
		sum += s.change
		most = max(most, sum)
	}
	return sum, most
}

// before returns the greatest number at one time before end; zero: at any time.
func (p *peak) before(end eventlog.Time) int {
	sum, most := 0, 0
	for i := range p.blocks {
		b := &p.blocks[i]
		if end.IsZero() || b.steps[len(b.steps)-1].at < end {
			most = max(most, sum+b.most)
			sum += b.sum
			continue
		}
		for _, s := range b.steps {
			if s.at >= end {
				return most
			}
			sum += s.change
			most = max(most, sum)
		}
	}
	return most
}

func (p *peak) size() int { return p.count * 24 }
