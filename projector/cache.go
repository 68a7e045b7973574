package projector

import (
	"container/list"
	"hash/maphash"
	"time"

	"rollcall/eventlog"
)

// entity is one state in memory. The fold's goroutine owns it.
type entity struct {
	key   string
	state eventlog.State
	size  int
	// dirty: changed since its last Flush. busy: part of the commit in flight.
	// Neither may be evicted: the store does not have it yet.
	dirty, busy bool
	// careful: flushed after each record, to find the one that fails it.
	careful bool
	pending *writes // what careful flushes gathered; nil for others
	place   *list.Element
	// fresh: the store holds nothing of it yet.
	fresh bool

	// Of a dirty entity: its place in the task's list, the sequence that last
	// changed it, and the record before the first change that is not flushed.
	waiting *list.Element
	touched eventlog.Seq
	before  position
}

// position is a record and when the log stored it.
type position struct {
	seq      eventlog.Seq
	storedAt time.Time
}

// cache holds entities, and evicts the least recently used ones first. Its
// bound in bytes holds for entities that are stored: what is dirty or busy
// stays.
type cache struct {
	limit, bytes int64
	entities     map[string]*entity
	recent       *list.List // of *entity, the most recent in front
	// gone remembers what was ever evicted, where the generation was empty when
	// it was opened: anything else needs no read.
	gone                    *bloom
	hits, misses, evictions uint64
}

func newCache(limit int64, empty bool) *cache {
	c := &cache{limit: limit, entities: make(map[string]*entity), recent: list.New()}
	if empty {
		c.gone = newBloom()
	}
	return c
}

// get returns the entity and makes it the most recent; nil where it is not held.
func (c *cache) get(key string) *entity {
	e := c.entities[key]
	if e != nil {
		c.recent.MoveToFront(e.place)
	}
	return e
}

// stored reports whether the store may know the key.
func (c *cache) stored(key string) bool { return !c.unknown(key) }

// unknown reports that the store can't have a key that is not held here: the
// generation was empty when it was opened, and the key was never evicted.
func (c *cache) unknown(key string) bool { return c.gone != nil && !c.gone.has(key) }

func (c *cache) add(e *entity) {
	e.place = c.recent.PushFront(e)
	c.entities[e.key] = e
	c.resize(e)
}

// resize takes the entity's new size into account.
func (c *cache) resize(e *entity) {
	size := e.state.Size() + len(e.key) + entityOverhead
	c.bytes += int64(size - e.size)
	e.size = size
}

// entityOverhead is what map, list and entity cost beside the state.
const entityOverhead = 256

// evict drops stored entities until the bound holds, looking at no more than
// evictScan entities that have to stay.
func (c *cache) evict() {
	stay := 0
	for at := c.recent.Back(); at != nil && c.bytes > c.limit && stay < evictScan; {
		e, _ := at.Value.(*entity)
		at = at.Prev()
		if e.dirty || e.busy || e.careful {
			stay++
			continue
		}
		c.drop(e)
	}
}

// drop forgets an entity that is stored.
func (c *cache) drop(e *entity) {
	c.recent.Remove(e.place)
	delete(c.entities, e.key)
	c.bytes -= int64(e.size)
	c.evictions++
	if c.gone != nil {
		c.gone.add(e.key)
	}
}

const evictScan = 4096

// bloom is a set that may say yes too often, never no: 4 MiB, 4 probes, which
// is one false yes in 200 at two million keys.
type bloom struct {
	seed maphash.Seed
	bits []uint64
}

const bloomWords = 1 << 19

func newBloom() *bloom { return &bloom{seed: maphash.MakeSeed()} }

func (b *bloom) add(key string) {
	if b.bits == nil {
		b.bits = make([]uint64, bloomWords)
	}
	h := maphash.String(b.seed, key)
	for i := range uint64(4) {
		n := probe(h, i)
		b.bits[n/64] |= 1 << (n % 64)
	}
}

func (b *bloom) has(key string) bool {
	if b.bits == nil {
		return false
	}
	h := maphash.String(b.seed, key)
	for i := range uint64(4) {
		n := probe(h, i)
		if b.bits[n/64]&(1<<(n%64)) == 0 {
			return false
		}
	}
	return true
}

func probe(h, i uint64) uint64 { return (h + i*(h>>32|1)) % (bloomWords * 64) }
