package traffic

import (
	"encoding/binary"
	"iter"
	"math/rand/v2"

	"github.com/oklog/ulid/v2"

	"rollcall/eventlog"
)

// Records yields the traffic of c as the log would hold it: received at its
// arrival, with event ids from the seed, and sequences from 1. Repeats are in
// it, as a log holds those that came after the duplicate window. Signatures are
// empty.
func Records(c Config) iter.Seq[eventlog.Record] {
	return func(yield func(eventlog.Record) bool) {
		entropy := seeded{rand.New(rand.NewPCG(c.Seed, 0x011d))}
		var seq eventlog.Seq
		for d := range New(c) {
			seq++
			r := eventlog.Record{
				Seq: seq, StoredAt: d.At, ReceivedAt: eventlog.TimeOf(d.At), Source: d.Family(),
				DeliveryID: d.DeliveryID, WebhookID: d.WebhookID, Type: eventlog.Identify(d.Body).Name, Body: d.Body,
			}
			// ulid.New fails only for times after the year 10889.
			if id, err := ulid.New(ulid.Timestamp(d.At), entropy); err == nil {
				r.EventID = id.String()
			}
			if !yield(r) {
				return
			}
		}
	}
}

// seeded is entropy for ids from a seed.
type seeded struct{ *rand.Rand }

// Read fills p.
func (s seeded) Read(p []byte) (int, error) {
	var b [8]byte
	for i := 0; i < len(p); i += len(b) {
		binary.LittleEndian.PutUint64(b[:], s.Uint64())
		copy(p[i:], b[:])
	}
	return len(p), nil
}
