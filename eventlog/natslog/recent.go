package natslog

import (
	"time"

	"rollcall/eventlog"
)

// recentIDs remembers the answers to the last message ids, for as long as the
// log's duplicate window recognises them. It is not safe for concurrent use.
type recentIDs struct {
	window  time.Duration
	entries map[string]recentID
	ring    []string // the ids in order of arrival; "" where there is none
	next    int
}

// recentID is the answer to a message id, and when its record was sent.
type recentID struct {
	appended eventlog.Appended
	at       time.Time
}

func newRecentIDs(size int, window time.Duration) *recentIDs {
	return &recentIDs{window: window, entries: make(map[string]recentID), ring: make([]string, size)}
}

func (r *recentIDs) get(id string, now time.Time) (eventlog.Appended, bool) {
	e, ok := r.entries[id]
	if !ok || now.Sub(e.at) >= r.window {
		return eventlog.Appended{}, false
	}
	return e.appended, true
}

// add remembers an answer; at is when its record was sent, so that an id is
// forgotten here before the server forgets it.
func (r *recentIDs) add(id string, a eventlog.Appended, at time.Time) {
	if _, ok := r.entries[id]; ok {
		// A repeat outside the window was stored again: its answer is newer, and
		// the id keeps its place in the ring.
		r.entries[id] = recentID{a, at}
		return
	}
	if old := r.ring[r.next]; old != "" {
		delete(r.entries, old)
	}
	r.ring[r.next] = id
	r.next = (r.next + 1) % len(r.ring)
	r.entries[id] = recentID{a, at}
}

// drop forgets the answer to an id, where it names that sequence.
func (r *recentIDs) drop(id string, seq eventlog.Seq) {
	if e, ok := r.entries[id]; ok && e.appended.Seq == seq {
		delete(r.entries, id)
	}
}
