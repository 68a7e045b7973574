package projections

import (
	"strconv"
	"strings"

	"rollcall/eventlog"
)

// deliveries remembers every delivery of an entity with its earliest received
// time, since a repeat counts once, and with that time: a repeat that was
// received later must not move lastEventAt, even when it stands first in the
// log. 64 deliveries make a part of about 1.3 KiB.
type deliveries struct {
	index map[eventlog.RepeatKey]int
	list  []delivery
	dirty []int // parts, in order of their first change

	// alone is the latest received time of records without a delivery uuid,
	// which are never repeats. It is kept in the entity's core part.
	alone eventlog.Time
	// newest is the latest time in list, unless unsure.
	newest eventlog.Time
	unsure bool
}

// delivery is a delivery that was seen, with its earliest received time.
type delivery struct {
	key eventlog.RepeatKey
	at  eventlog.Time
}

const (
	deliveriesEach   = 64
	deliveriesPrefix = "d"
)

// add counts a record and reports whether anything changed.
func (d *deliveries) add(ev *eventlog.Event) (changed bool) {
	if ev.Repeat.IsZero() {
		return latest(&d.alone, ev.Order.At)
	}
	if d.index == nil {
		d.index = make(map[eventlog.RepeatKey]int)
	}
	v := delivery{ev.Repeat, ev.Order.At}
	i, known := d.index[v.key]
	if known {
		old := d.list[i].at
		if !earliest(&d.list[i].at, v.at) {
			return false
		}
		d.unsure = d.unsure || old == d.newest
	} else {
		i = len(d.list)
		d.index[v.key] = i
		d.list = append(d.list, v)
		latest(&d.newest, v.at)
	}
	d.touch(i / deliveriesEach)
	return true
}

func (d *deliveries) touch(n int) {
	for i := len(d.dirty) - 1; i >= 0; i-- { // almost always the last
		if d.dirty[i] == n {
			return
		}
	}
	d.dirty = append(d.dirty, n)
}

// last is the latest received time.
func (d *deliveries) last() eventlog.Time {
	if d.unsure {
		d.newest, d.unsure = 0, false
		for i := range d.list {
			latest(&d.newest, d.list[i].at)
		}
	}
	return max(d.newest, d.alone)
}

func (d *deliveries) flush(w eventlog.Writer) {
	for _, n := range d.dirty {
		chunk := d.list[n*deliveriesEach : min(len(d.list), (n+1)*deliveriesEach)]
		b := append(make([]byte, 0, 1+len(chunk)*(len(eventlog.RepeatKey{})+9)), stateVersion)
		for i := range chunk {
			b = append(b, chunk[i].key[:]...)
			b = putTime(b, chunk[i].at)
		}
		w.PutPart(deliveriesPrefix+strconv.Itoa(n), b)
	}
	d.dirty = d.dirty[:0]
}

// load reads a part, and reports whether name is one of these.
func (d *deliveries) load(name string, value []byte) (ours bool, err error) {
	number, ours := strings.CutPrefix(name, deliveriesPrefix)
	n, err := strconv.Atoi(number)
	if !ours || err != nil || n < 0 {
		return false, nil
	}
	if d.index == nil {
		d.index = make(map[eventlog.RepeatKey]int)
	}
	r := reader{b: value}
	r.version()
	for i := n * deliveriesEach; len(r.b) > 0 && !r.bad; i++ {
		var v delivery
		copy(v.key[:], r.bytes(uint64(len(v.key))))
		v.at = r.time()
		if i >= (n+1)*deliveriesEach || n > 1<<24 {
			return true, errState
		}
		for len(d.list) <= i { // parts come in any order
			d.list = append(d.list, delivery{})
		}
		d.place(i, v)
	}
	return true, r.done()
}

// place puts a stored delivery at i. A commit that ended half way may have left
// one in two places: then the first keeps the earlier time.
func (d *deliveries) place(i int, v delivery) {
	if v.key.IsZero() {
		return
	}
	if j, ok := d.index[v.key]; ok && j != i {
		earliest(&d.list[j].at, v.at)
		d.unsure = true
		d.touch(j / deliveriesEach)
		return
	}
	d.list[i] = v
	d.index[v.key] = i
	latest(&d.newest, v.at)
}

func (d *deliveries) size() int { return len(d.list) * 80 }
