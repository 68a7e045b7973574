package viewstore

import (
	"time"

	"rollcall/projector"
)

// SetFollowTTL has a reader take delete markers to expire after d.
func SetFollowTTL(r *Reader, d time.Duration) { r.followTTL = d }

// SetGoneAfter has a reader wait for a missing stream for d.
func SetGoneAfter(r *Reader, d time.Duration) { r.goneAfter = d }

// SetViewQuiet has View give up when nothing comes for d.
func SetViewQuiet(r *Reader, d time.Duration) { r.viewQuiet = d }

// SetClockBack has a lease's writer find that its clock went back by d since its last
// commit.
func SetClockBack(o *projector.Lease, d time.Duration) {
	if w, ok := o.GenerationWriter.(*writer); ok {
		w.storedAt = w.storedAt.Add(d)
	}
}
