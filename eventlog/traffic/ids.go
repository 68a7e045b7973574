package traffic

import (
	"encoding/hex"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// draw is the randomness of one session. Each has its own, so that a session is
// the same whatever came before it.
type draw struct{ *rand.Rand }

func newDraw(seed, stream uint64) draw {
	return draw{rand.New(rand.NewPCG(seed, stream*0x9e3779b97f4a7c15+1))}
}

// chance is true with probability p.
func (r draw) chance(p float64) bool { return r.Float64() < p }

// uuid looks like a version 4 UUID.
func (r draw) uuid() string {
	var b [16]byte
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// letters is n lower-case letters.
func (r draw) letters(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(r.IntN(26))
	}
	return string(b)
}

// digits is n decimal digits, not starting with 0.
func (r draw) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0' + byte(r.IntN(10))
	}
	if b[0] == '0' {
		b[0] = '6'
	}
	return string(b)
}

// within is a time in [0, d), uniformly, in whole milliseconds: what the
// providers send.
func (r draw) within(d time.Duration) time.Duration {
	return time.Duration(r.Float64() * float64(d)).Truncate(time.Millisecond)
}

// spread is lognormal around the median m, in whole milliseconds.
func (r draw) spread(m time.Duration, sigma float64) time.Duration {
	return time.Duration(float64(m) * math.Exp(sigma*r.NormFloat64())).Truncate(time.Millisecond)
}

// pick is one of the choices.
func pick[T any](r draw, choices ...T) T { return choices[r.IntN(len(choices))] }

func itoa(n int) string { return strconv.Itoa(n) }
