package blocks

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Report is what a scan found.
type Report struct {
	Stream string `json:"stream"`
	// Blocks, Bytes and Messages were looked at; First and Last are the first and
	// last sequence found.
	Blocks   int    `json:"blocks"`
	Bytes    int64  `json:"bytes"`
	Messages uint64 `json:"messages"`
	First    uint64 `json:"first"`
	Last     uint64 `json:"last"`
	// Indexed is the last sequence that the server's index remembers; 0: none can
	// be read. A stream that ends before it has lost its end.
	Indexed uint64   `json:"indexed"`
	Damage  []Damage `json:"damage"`

	newest int // number of the last block
}

// Damage is a stretch of a block that holds no readable message, or a place
// where messages are missing.
type Damage struct {
	Block string `json:"block"` // the file's name
	// Offset and Bytes are the stretch; Bytes is 0 where messages are missing.
	Offset int64 `json:"offset"`
	Bytes  int64 `json:"bytes"`
	// From to To are the sequences that are lost. 0: not known, as of a message
	// at the end that was not written whole, or of a stream that has gaps anyway.
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// Behind counts the readable messages after it in the block: a server that
	// reads the block cuts them too.
	Behind int `json:"behind"`

	number int
	stored time.Time // of the message before
}

// Lost is how many sequences are known to be lost.
func (d *Damage) Lost() uint64 {
	if d.From == 0 {
		return 0
	}
	return d.To - d.From + 1
}

// Records names the sequences as operators read them.
func (d *Damage) Records() string {
	switch d.Lost() {
	case 0:
		return "an end that was not written whole"
	case 1:
		return fmt.Sprintf("record %d", d.From)
	}
	return fmt.Sprintf("records %d to %d", d.From, d.To)
}

// Lost is how many sequences are known to be lost.
func (r *Report) Lost() (n uint64) {
	for i := range r.Damage {
		n += r.Damage[i].Lost()
	}
	return n
}

// Harmed reports whether there is more damage than an end that was not written
// whole, as a power cut leaves it: the server cuts that off by itself.
func (r *Report) Harmed() bool {
	return len(r.Damage) > 1 || len(r.Damage) == 1 && (r.Damage[0].Behind > 0 || r.Damage[0].number != r.newest)
}

// ForgetEnd leaves out damage at the end of the newest block, which a server
// that runs may be writing to.
func (r *Report) ForgetEnd() {
	r.Damage = slices.DeleteFunc(r.Damage, func(d Damage) bool { return d.number == r.newest && d.Behind == 0 })
}

// scan is one run of Scan.
type scan struct {
	*Report
	stream Stream
	dense  bool
	last   uint64    // sequence of the last message, or of the one before the stream's first
	begun  bool      // last is known
	stored time.Time // of the last message
	torn   uint64    // sequence in the damaged header of what may be the last message
	open   int       // index of the damage that no message has followed yet; -1: none
}

// Scan reads every block of a stream. dense says that its sequences have no
// gaps, so that each one that is missing is lost. It changes nothing. A stream
// that a server writes to meanwhile may seem to have a torn end.
func Scan(ctx context.Context, s Stream, dense bool) (*Report, error) {
	x := readIndex(s)
	r := &scan{Report: &Report{Stream: s.Name, Indexed: x.last, Damage: []Damage{}}, stream: s, dense: dense, open: -1}
	numbers, err := s.blocks()
	if err != nil {
		return nil, err
	}
	r.last, r.begun = s.begin(x, numbers)
	if len(numbers) == 0 && x.last > 0 {
		numbers = []int{1} // of which nothing is there
	}
	for _, n := range numbers {
		r.newest = n
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.block(n); err != nil {
			return nil, err
		}
	}
	end := x.last
	if dense && r.torn == r.last+1 {
		end = max(end, r.torn)
	}
	if dense && end > r.last {
		r.gap(r.newest, r.size(r.newest), end+1)
	}
	return r.Report, nil
}

func (r *scan) size(number int) int64 {
	info, err := os.Stat(r.stream.path(number))
	if err != nil {
		return 0
	}
	return info.Size()
}

// block reads one block.
func (r *scan) block(number int) error {
	buf, err := os.ReadFile(r.stream.path(number))
	if err != nil && !errors.Is(err, os.ErrNotExist) { // a limit removed it
		return fmt.Errorf("read block of stream %s: %w", r.stream.Name, err)
	}
	r.Blocks++
	r.Bytes += int64(len(buf))
	c := newCodec(r.stream.Name, number)
	before := len(r.Damage)
	for at := 0; at < len(buf); {
		m, ok := c.read(buf[at:])
		if !ok {
			end := next(c, buf, at, r.last)
			r.damaged(Damage{number: number, Offset: int64(at), Bytes: int64(end - at)})
			if r.torn = 0; len(buf)-at >= 12 {
				r.torn = binary.LittleEndian.Uint64(buf[at+4:])
			}
			at = end
			continue
		}
		r.message(number, int64(at), &m)
		at += m.length
		if !m.gone {
			for i := before; i < len(r.Damage); i++ {
				r.Damage[i].Behind++
			}
		}
	}
	return nil
}

// message counts a readable message.
func (r *scan) message(number int, at int64, m *Message) {
	if m.tombstone || m.Sequence <= r.last {
		return
	}
	if r.dense && r.begun && m.Sequence > r.last+1 {
		r.gap(number, at, m.Sequence)
	}
	r.open, r.begun = -1, true
	if !m.gone {
		r.Messages++
		if r.First == 0 {
			r.First = m.Sequence
		}
		r.Last = m.Sequence
	}
	r.last, r.stored = m.Sequence, m.Stored
}

// damaged adds a damage.
func (r *scan) damaged(d Damage) {
	d.Block, d.stored = filepath.Base(r.stream.path(d.number)), r.stored
	r.Damage = append(r.Damage, d)
	r.open = len(r.Damage) - 1
}

// gap says that the messages after the last one and before that sequence are
// lost: by the damage that lies between, or they are missing here.
func (r *scan) gap(number int, at int64, before uint64) {
	if r.open < 0 {
		r.damaged(Damage{number: number, Offset: at})
	}
	d := &r.Damage[r.open]
	if r.dense {
		d.From, d.To = r.last+1, before-1
	}
}

// maxSkip bounds by how many sequences a message may follow the last readable
// one: noise that passes for a message has any.
const maxSkip = 1 << 32

// next finds where a readable message begins again after a damaged one.
func next(c *codec, buf []byte, at int, last uint64) int {
	for at++; at+fixedSize+checksumSize <= len(buf); at++ {
		// Looked at first: a checksum of each place would take a minute a block.
		sequence := binary.LittleEndian.Uint64(buf[at+4:])
		if sequence&^(erasedBit|tombstoneBit) > last+maxSkip {
			continue
		}
		if m, ok := c.read(buf[at:]); ok && (m.gone || m.Sequence > last) {
			return at
		}
	}
	return len(buf)
}
