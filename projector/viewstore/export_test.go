package viewstore

import "time"

// SetFollowTTL has a reader take delete markers to expire after d.
func SetFollowTTL(r *Reader, d time.Duration) { r.followTTL = d }

// SetGoneAfter has a reader wait for a missing stream for d.
func SetGoneAfter(r *Reader, d time.Duration) { r.goneAfter = d }

// SetViewQuiet has View give up when nothing comes for d.
func SetViewQuiet(r *Reader, d time.Duration) { r.viewQuiet = d }
