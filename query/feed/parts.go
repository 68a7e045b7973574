package feed

import "sync"

// keptParts bounds the parts that are kept for feeds that lag a little.
const keptParts = 32

// shared is what the change feeds share. Those that follow the same views are
// mostly at the same place: what comes next is read and written down once.
type shared struct {
	mu    sync.Mutex
	parts map[string]*part // by views and place; guarded by mu, as is order
	order []string         // their keys, the oldest first
}

// part is what comes after one place. It stays right when more comes: that is after
// the place where it ends.
type part struct {
	done chan struct{} // closed once the rest is set
	text []byte
	to   map[string]place
	err  error
}

// part returns what comes after a place. Where it is mine, the caller makes it,
// and calls made.
func (s *shared) part(from string) (p *part, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.parts[from]; p != nil {
		return p, false
	}
	if s.parts == nil {
		s.parts = map[string]*part{}
	}
	p = &part{done: make(chan struct{})}
	s.parts[from] = p
	s.order = append(s.order, from)
	if len(s.order) > keptParts {
		delete(s.parts, s.order[0])
		s.order = s.order[1:]
	}
	return p, true
}

// made shows a part to those who wait for it. What failed, or found nothing new,
// is not kept.
func (s *shared) made(from string, p *part, nothing bool) {
	close(p.done)
	if p.err == nil && !nothing {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parts[from] == p {
		delete(s.parts, from)
	}
}
