package wire

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Delivery is what the reply subject of a delivered message says.
type Delivery struct {
	// Stream and Consumer are slices of the reply.
	Stream, Consumer []byte
	// Sequence is the message's in the stream, Number the delivery's in the
	// consumer, from 1.
	Sequence, Number uint64
	Time             time.Time // when the stream stored the message
	Pending          uint64    // messages that the consumer still has after this one
}

// ParseDelivery reads a reply subject in either form (ADR-15 of
// nats-architecture-and-design), without allocating:
//
//	$JS.ACK.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<time>.<pending>[.<token>]
func ParseDelivery(reply []byte) (Delivery, error) {
	var at [12][]byte
	n := 0
	for rest := reply; n < len(at) && len(rest) > 0; n++ {
		at[n], rest, _ = bytes.Cut(rest, []byte{'.'})
	}
	i := 2
	if n >= 11 {
		i = 4
	}
	if n < 9 || string(at[0]) != "$JS" || string(at[1]) != "ACK" {
		return Delivery{}, fmt.Errorf("unexpected reply subject %.80q", reply)
	}
	d := Delivery{Stream: at[i], Consumer: at[i+1]}
	var errs [4]error
	var stored uint64
	d.Sequence, errs[0] = strconv.ParseUint(string(at[i+3]), 10, 64)
	d.Number, errs[1] = strconv.ParseUint(string(at[i+4]), 10, 64)
	stored, errs[2] = strconv.ParseUint(string(at[i+5]), 10, 63)
	d.Pending, errs[3] = strconv.ParseUint(string(at[i+6]), 10, 64)
	if err := errors.Join(errs[:]...); err != nil {
		return Delivery{}, fmt.Errorf("unexpected reply subject %.80q: %w", reply, err)
	}
	d.Time = time.Unix(0, int64(stored)).UTC() //nolint:gosec // 63 bits, checked above
	return d, nil
}
