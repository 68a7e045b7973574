package viewstore

import (
	"fmt"
	"strconv"
	"time"

	"rollcall/eventlog"
)

const (
	// Control is the bucket that says which generation of each view is live,
	// which generations there are, and who writes them.
	Control = "rollcall"

	aliasPrefix      = "alias."
	leasePrefix      = "lease."
	generationPrefix = "generation."

	// MarkerTTL is how long a delete marker stays: a follower that was away
	// for longer begins again.
	MarkerTTL = 24 * time.Hour
	// followTTL is after how long a follower begins again, a margin below.
	followTTL = MarkerTTL - time.Hour
)

// Bucket names a generation of a view: sessions_g1.
func Bucket(view string, generation int) string { return view + "_g" + strconv.Itoa(generation) }

// StreamOf is the name of a bucket's stream.
func StreamOf(bucket string) string { return "KV_" + bucket }

// documentSubject is where a bucket's KV readers find a key.
func documentSubject(bucket, key string) string { return "$KV." + bucket + "." + key }

// stateRoot is the prefix of all subjects that KV readers don't see.
func stateRoot(bucket string) string { return "rollcall.state." + bucket + "." }

func checkpointSubject(bucket string) string { return stateRoot(bucket) + "checkpoint" }

func takeoverSubject(bucket, id string) string { return stateRoot(bucket) + "takeover." + id }

func parkedSubject(bucket string, seq eventlog.Seq) string {
	return stateRoot(bucket) + "parked." + strconv.FormatUint(uint64(seq), 10)
}

func entityRoot(bucket, entity string) string {
	return stateRoot(bucket) + "e." + eventlog.EscapeID(entity) + "."
}

// PlainSubject is where the change of a key is published for core NATS subscribers.
func PlainSubject(view, key string) string { return "rollcall.views." + view + "." + key }

// validView is a view name that fits into bucket, stream and subject names.
func validView(view string) error {
	if view == "" || len(view) > 64 {
		return fmt.Errorf("view name %q: use 1 to 64 of [a-z0-9-]", view)
	}
	for i := range len(view) {
		c := view[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
			return fmt.Errorf("view name %q: use 1 to 64 of [a-z0-9-]", view)
		}
	}
	return nil
}
