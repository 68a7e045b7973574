package projections

import (
	"encoding/binary"
	"errors"

	"rollcall/eventlog"
)

// Stored state is binary: a version byte, then numbers as varints and texts with
// their length. It is read by this package alone; a new form gets a new version
// byte and a new fold version, so that old state is never read.
const stateVersion = 1

var errState = errors.New("stored state is corrupt: rebuild the view")

func putText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func putTime(b []byte, t eventlog.Time) []byte { return binary.AppendVarint(b, int64(t)) }

func putOrder(b []byte, o eventlog.Order) []byte { return putText(putTime(b, o.At), o.ID) }

// reader reads what the put functions wrote. After the first mistake it is bad
// and returns zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() { r.b, r.bad = nil, true }

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string        { return string(r.bytes(r.uint())) }
func (r *reader) time() eventlog.Time { return eventlog.Time(r.int()) }
func (r *reader) order() (o eventlog.Order) {
	o.At = r.time()
	o.ID = r.text()
	return o
}

// version reads the version byte.
func (r *reader) version() {
	if r.byte() != stateVersion {
		r.fail()
	}
}

// done reports an error where not everything was read correctly.
func (r *reader) done() error {
	if r.bad || len(r.b) != 0 {
		return errState
	}
	return nil
}

// first is the non-empty text of the record with the least order. Merging is
// commutative, associative and idempotent.
type first struct {
	order eventlog.Order
	text  string
}

// merge offers a text and reports whether it became the first.
func (f *first) merge(o eventlog.Order, text string) bool {
	if text == "" || f.text != "" && !before(o, text, f.order, f.text) {
		return false
	}
	f.order, f.text = o, text
	return true
}

// before orders two candidates. Two records never share an order; if a hand-made
// log has two that do, the smaller text wins, so that the law holds there too.
func before(o eventlog.Order, text string, p eventlog.Order, other string) bool {
	return o.Less(p) || o == p && text < other
}

// put appends f; last is the order written before it, which is mostly the same.
func (f *first) put(b []byte, last *eventlog.Order) []byte {
	b = putText(b, f.text)
	if f.text == "" {
		return b
	}
	if f.order == *last {
		return append(b, 1)
	}
	*last = f.order
	return putOrder(append(b, 0), f.order)
}

func (f *first) read(r *reader, last *eventlog.Order) {
	f.text = r.text()
	if f.text == "" {
		return
	}
	if r.byte() == 0 {
		*last = r.order()
	}
	f.order = *last
}

// earliest lowers t to u where u is a time and earlier, and reports a change.
func earliest(t *eventlog.Time, u eventlog.Time) bool {
	if u.IsZero() || !t.IsZero() && *t <= u {
		return false
	}
	*t = u
	return true
}

// latest raises t to u where u is later, and reports a change.
func latest(t *eventlog.Time, u eventlog.Time) bool {
	if u <= *t {
		return false
	}
	*t = u
	return true
}

// tally is a sum of whole microseconds that can't overflow on the way: texts
// may claim connections of ten thousand years. What it says is cut at the
// greatest Seconds, 292,000 years.
type tally struct {
	seconds, micros int64
}

func (t *tally) add(d eventlog.Seconds, times int64) {
	t.seconds += int64(d/eventlog.Second) * times
	t.micros += int64(d%eventlog.Second) * times
}

func (t *tally) total() eventlog.Seconds {
	const most = int64(1<<63-1) / int64(eventlog.Second)
	s, us := t.seconds+t.micros/int64(eventlog.Second), t.micros%int64(eventlog.Second)
	if s >= most {
		return 1<<63 - 1
	}
	return eventlog.Seconds(s)*eventlog.Second + eventlog.Seconds(us)
}
