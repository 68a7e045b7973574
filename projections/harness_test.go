package projections_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"rollcall/eventlog"
	"rollcall/projections"
)

// views holds documents by view, then key.
type views map[string]map[string]string

func (v views) String() string {
	var b strings.Builder
	for _, view := range slices.Sorted(maps.Keys(v)) {
		for _, key := range slices.Sorted(maps.Keys(v[view])) {
			fmt.Fprintf(&b, "%s %s %s\n", view, key, v[view][key])
		}
	}
	return b.String()
}

// runner folds records as a projector does, with a store in memory: states are
// cached, flushed in commits of documents before parts, and can be evicted.
type runner struct {
	fold    eventlog.Fold
	docs    map[string]string
	parts   map[string]map[string]string // by entity
	cache   map[string]eventlog.State
	dirty   []string
	biggest int // value, in bytes
}

func newRunner(fold eventlog.Fold) *runner {
	return &runner{
		fold: fold, docs: make(map[string]string), parts: make(map[string]map[string]string),
		cache: make(map[string]eventlog.State),
	}
}

func (r *runner) apply(t fataler, ev *eventlog.Event) {
	key := r.fold.Key(ev)
	if key == "" {
		return
	}
	r.state(t, key).Apply(ev)
	if !slices.Contains(r.dirty, key) {
		r.dirty = append(r.dirty, key)
	}
}

func (r *runner) state(t fataler, key string) eventlog.State {
	if s := r.cache[key]; s != nil {
		return s
	}
	s := r.fold.New(key)
	for part, value := range r.parts[key] { // in random order, as it must not matter
		if err := s.Load(part, []byte(value)); err != nil {
			t.Fatalf("%s: Load(%q) of %q: %v", r.fold.Name(), part, key, err)
		}
	}
	r.cache[key] = s
	return s
}

// write is one effect of a commit.
type write struct {
	entity, key, value string
	part, gone         bool
}

// collector takes what one state flushes and checks that it flushes well.
type collector struct {
	t       fataler
	entity  string
	docs    []write
	parts   []write
	written map[string]bool
}

type fataler interface {
	Fatalf(format string, args ...any)
}

func (c *collector) once(kind, key string) {
	if c.written[kind+key] {
		c.t.Fatalf("Flush of %q writes %s %q twice", c.entity, kind, key)
	}
	c.written[kind+key] = true
}

func (c *collector) Put(key string, doc []byte) {
	c.once("key", key)
	c.docs = append(c.docs, write{entity: c.entity, key: key, value: string(doc)})
}

func (c *collector) Delete(key string) {
	c.once("key", key)
	c.docs = append(c.docs, write{entity: c.entity, key: key, gone: true})
}

func (c *collector) PutPart(part string, value []byte) {
	c.once("part", part)
	c.parts = append(c.parts, write{entity: c.entity, key: part, value: string(value), part: true})
}

// commit flushes what is dirty. With cut below 1 it ends half way, after that
// share of its writes, as a crash would.
func (r *runner) commit(t fataler, cut float64) {
	var writes []write
	for _, key := range r.dirty {
		c := collector{t: t, entity: key, written: make(map[string]bool)}
		r.cache[key].Flush(&c)
		writes = append(append(writes, c.docs...), c.parts...)
	}
	r.dirty = nil
	for _, w := range writes[:int(float64(len(writes))*cut)] {
		r.biggest = max(r.biggest, len(w.value))
		switch {
		case w.part:
			if r.parts[w.entity] == nil {
				r.parts[w.entity] = make(map[string]string)
			}
			r.parts[w.entity][w.key] = w.value
		case w.gone:
			delete(r.docs, w.key)
		default:
			r.docs[w.key] = w.value
		}
	}
}

// restart forgets all that is not stored.
func (r *runner) restart() {
	clear(r.cache)
	r.dirty = nil
}

// evict leaves at most one clean entity in the cache.
func (r *runner) evict() {
	for key := range r.cache {
		if len(r.cache) > 1 && !slices.Contains(r.dirty, key) {
			delete(r.cache, key)
		}
	}
}

func decode(records []eventlog.Record) []eventlog.Event {
	events := make([]eventlog.Event, len(records))
	for i := range records {
		events[i] = eventlog.Decode(&records[i])
	}
	return events
}

// fold is the plain way: all records in one go.
func fold(t fataler, records []eventlog.Record) views {
	got := make(views)
	events := decode(records)
	for _, f := range projections.All() {
		r := newRunner(f)
		for i := range events {
			r.apply(t, &events[i])
		}
		r.commit(t, 1)
		got[f.Name()] = r.docs
	}
	return got
}

// diff names the first documents that differ.
func diff(got, want views) string {
	for _, view := range slices.Sorted(maps.Keys(want)) {
		keys := maps.Clone(got[view])
		maps.Copy(keys, want[view])
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if g, w := got[view][key], want[view][key]; g != w {
				return fmt.Sprintf("%s %s =\n%s; want\n%s", view, key, orNone(g), orNone(w))
			}
		}
	}
	return ""
}

func orNone(s string) string {
	if s == "" {
		return "(no document)"
	}
	return s
}

func list(records []eventlog.Record) string {
	var b strings.Builder
	for i := range records {
		r := &records[i]
		fmt.Fprintf(&b, "%s %s %s %s %s\n", r.ReceivedAt, r.EventID, r.Source, orDash(r.DeliveryID), r.Body)
	}
	return b.String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func at(t testing.TB, s string) eventlog.Time {
	t.Helper()
	v, ok := eventlog.ParseTime(s)
	if !ok {
		t.Fatalf("ParseTime(%q) failed", s)
	}
	return v
}
