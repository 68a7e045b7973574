package projections

import (
	"slices"
	"strconv"

	"rollcall/eventlog"
)

// shelf keeps the items of one entity in parts of a few items each, in the order
// they arrived, so that a change rewrites one small value however many items
// there are. No part exceeds partLimit as long as no item alone does.
//
// An item may move to a later part when its own outgrows the limit. The later
// part is then written first, so that a commit that ends half way leaves the
// item in both, never in none; reading merges the two.
type shelf[T item] struct {
	prefix string // of the parts' names
	each   int    // items a part
	parts  []part[T]
	dirty  []int
}

// item is what a shelf keeps: a pointer to a struct that holds its place.
type item interface {
	home() *place
	put(b []byte) []byte
}

// place is where an item is kept, and its stored form as long as that is right.
type place struct {
	part int
	blob []byte
}

func (p *place) home() *place { return p }

type part[T item] struct {
	items []T
	dirty bool
}

// partLimit bounds the value of a part: 384 KiB.
const partLimit = 384 << 10

// add gives a new item its place.
func (s *shelf[T]) add(v T) {
	last := len(s.parts) - 1
	if last < 0 || len(s.parts[last].items) >= s.each {
		s.parts = append(s.parts, part[T]{})
		last++
	}
	s.put(v, last)
}

func (s *shelf[T]) put(v T, n int) {
	v.home().part = n
	s.parts[n].items = append(s.parts[n].items, v)
	s.mark(v)
}

// mark notes that an item changed.
func (s *shelf[T]) mark(v T) {
	v.home().blob = nil
	s.touch(v.home().part)
}

func (s *shelf[T]) touch(n int) {
	if p := &s.parts[n]; !p.dirty {
		p.dirty = true
		s.dirty = append(s.dirty, n)
	}
}

// remove takes an item out.
func (s *shelf[T]) remove(v T) {
	n := v.home().part
	p := &s.parts[n]
	if i := slices.IndexFunc(p.items, func(o T) bool { return o.home() == v.home() }); i >= 0 {
		p.items = slices.Delete(p.items, i, i+1)
		s.touch(n)
	}
}

// flush writes the parts that changed, later ones first.
func (s *shelf[T]) flush(w eventlog.Writer) {
	if len(s.dirty) == 0 {
		return
	}
	values := make(map[int][]byte, len(s.dirty))
	for i := 0; i < len(s.dirty); i++ { // an overflow appends to dirty
		values[s.dirty[i]] = s.encode(s.dirty[i])
	}
	slices.SortFunc(s.dirty, func(a, b int) int { return b - a })
	for _, n := range s.dirty {
		s.parts[n].dirty = false
		w.PutPart(s.prefix+strconv.Itoa(n), values[n])
	}
	s.dirty = s.dirty[:0]
}

// encode returns the value of a part; items beyond the limit get a new part.
func (s *shelf[T]) encode(n int) []byte {
	b := []byte{stateVersion}
	items := s.parts[n].items
	for i, v := range items {
		at := v.home()
		if at.blob == nil {
			at.blob = v.put(nil)
		}
		if i > 0 && len(b)+len(at.blob) > partLimit {
			s.parts[n].items = items[:i:i]
			s.parts = append(s.parts, part[T]{})
			for _, rest := range items[i:] {
				s.put(rest, len(s.parts)-1)
			}
			break
		}
		b = append(b, at.blob...)
	}
	return b
}

// index returns the number of the part called name, -1 where it is none of ours.
func (s *shelf[T]) index(name string) int {
	if len(name) <= len(s.prefix) || name[:len(s.prefix)] != s.prefix {
		return -1
	}
	n, err := strconv.Atoi(name[len(s.prefix):])
	if err != nil || n < 0 || n > 1<<24 {
		return -1
	}
	return n
}

// grow makes room for part n.
func (s *shelf[T]) grow(n int) {
	for len(s.parts) <= n {
		s.parts = append(s.parts, part[T]{})
	}
}

// load puts an item that was read from part n in its place, unchanged.
func (s *shelf[T]) load(v T, n int) {
	v.home().part = n
	s.parts[n].items = append(s.parts[n].items, v)
}

// merged notes that v was read twice, the second time from part n. It stays in
// the later part, which is written before the earlier one loses it.
func (s *shelf[T]) merged(v T, n int) {
	if n > v.home().part {
		s.remove(v)
		v.home().part = n
		s.parts[n].items = append(s.parts[n].items, v)
	} else {
		s.touch(n)
	}
	s.mark(v)
}
