package natslog

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"rollcall/eventlog"
)

// LostType is the event type of a record that stands for one that damage took.
const LostType = "rollcall.lost"

// LostSource is its source.
const LostSource = "rollcall"

// Lost is what stands in the log in the place of a record that damage took, as a
// message: every reader gets it like any other record of a type that no fold
// knows, so that sequences have no gap. at is when the record before was stored.
func Lost(seq uint64, at time.Time) (subject string, headers, body []byte) {
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(at)) // fails after the year 10889
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", LostType, seq, at.UnixNano()))
	_ = id.SetEntropy(sum[:10]) // has the length it wants
	m := message(&eventlog.Record{
		EventID: id.String(), Type: LostType, Source: LostSource, ReceivedAt: eventlog.TimeOf(at),
		Body: fmt.Appendf(nil, `{"event":%q,"sequence":%d}`, LostType, seq),
	}, "")
	var b strings.Builder
	b.WriteString("NATS/1.0\r\n")
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		fmt.Fprintf(&b, "%s: %s\r\n", name, m.Header[name][0])
	}
	b.WriteString("\r\n")
	return m.Subject, []byte(b.String()), m.Data
}
