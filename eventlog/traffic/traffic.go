package traffic

import (
	"cmp"
	"container/heap"
	"iter"
	"math/rand/v2"
	"time"
)

// Config says what traffic to make. The zero value is an endless stream of
// ordinary meetings.
type Config struct {
	// Seed chooses the traffic. Everything else being equal, the same seed
	// gives the same deliveries.
	Seed uint64
	// Sessions is the number of sessions; 0 means without end.
	Sessions int
	// Start is the virtual instant of the first arrival. Zero means
	// DefaultStart.
	Start time.Time
	// SessionsPerMinute is the mean arrival rate in virtual time. 0 means 6.
	SessionsPerMinute float64
	// MedianLength is the median length of a session. 0 means 25 minutes.
	// Delays, gaps and the stages of a recording scale with it.
	MedianLength time.Duration
	// MedianParticipants is the median number of people of a session. 0 means 4.
	MedianParticipants float64
	// Duplicates is the share of deliveries that come twice, in [0, 1].
	Duplicates float64
	// Lost is the share of deliveries that never come, in [0, 1].
	Lost float64
	// Noise is the share of sessions with something malformed in their
	// traffic, in [0, 1]. 0 means 0.03, negative none.
	Noise float64
	// Shuffle yields in random order within ShuffleWindow deliveries instead
	// of in the order of arrival.
	Shuffle bool
	// ShuffleWindow is how many deliveries are held back and drawn from. 0
	// means 8192.
	ShuffleWindow int
	// Generations are the payload generations in use; a session takes one of
	// them. Empty means V1, V2, V2, RTK, RTK, RTK.
	Generations []Generation
	// Tame leaves out what goes wrong by itself: no long delay, ghost, lost
	// end or noise. A demo looks better for it.
	Tame bool
	// Opening is how many sessions begin at once, at Start, a hundredth of the
	// median length apart.
	Opening int
	// Scenes stages the first four sessions: see Scenes.
	Scenes bool
}

// DefaultStart is the Start of a Config that names none. It is fixed, so that a
// seed alone gives the same bytes on every day.
var DefaultStart = time.Date(2026, time.January, 5, 8, 0, 0, 0, time.UTC)

// Generation is a generation of the providers' payloads.
type Generation uint8

// The generations: Dyte's first API (no session id, no times of people), its
// second (seed list), and Cloudflare RealtimeKit.
const (
	V1 Generation = iota + 1
	V2
	RTK
)

// Delivery is one webhook POST.
type Delivery struct {
	// At is the virtual time of arrival.
	At time.Time
	// Session numbers the session it was made for, from 0.
	Session int
	// Generation is that of the payload.
	Generation Generation
	// DeliveryID and WebhookID are the provider's header values. DeliveryID is
	// empty where the provider sent none.
	DeliveryID, WebhookID string
	// Body is the raw body. Do not change it: a duplicate shares it.
	Body []byte
}

// Family is the prefix of the provider's header names: "dyte" or "rtk".
func (d *Delivery) Family() string {
	if d.Generation == RTK {
		return "rtk"
	}
	return "dyte"
}

// Headers are the provider's headers as name and value, without the signature,
// which needs a key.
func (d *Delivery) Headers() [][2]string {
	h := [][2]string{{"Content-Type", "application/json"}}
	if d.DeliveryID != "" {
		h = append(h, [2]string{d.Family() + "-uuid", d.DeliveryID})
	}
	if d.WebhookID != "" {
		h = append(h, [2]string{d.Family() + "-webhook-id", d.WebhookID})
	}
	return h
}

func (c Config) withDefaults() Config {
	c.Start = cmp.Or(c.Start, DefaultStart).UTC()
	c.SessionsPerMinute = positive(c.SessionsPerMinute, 6)
	if c.MedianLength <= 0 {
		c.MedianLength = 25 * time.Minute
	}
	c.MedianParticipants = positive(c.MedianParticipants, 4)
	if c.Noise == 0 && !c.Tame {
		c.Noise = 0.03
	}
	if c.ShuffleWindow <= 0 {
		c.ShuffleWindow = 8192
	}
	if len(c.Generations) == 0 {
		c.Generations = []Generation{V1, V2, V2, RTK, RTK, RTK}
	}
	return c
}

func positive(v, otherwise float64) float64 {
	if v > 0 {
		return v
	}
	return otherwise
}

// New yields the traffic of c. The iterator can be run again, from the start.
func New(c Config) iter.Seq[Delivery] {
	c = c.withDefaults()
	if c.Shuffle {
		return shuffled(c, arrivals(c))
	}
	return arrivals(c)
}

// Count is how many deliveries New(c) yields. It makes them all: c.Sessions
// must not be 0.
func Count(c Config) (n int) {
	c.Shuffle = false
	for range New(c) {
		n++
	}
	return n
}

// arrivals merges the sessions' deliveries by time of arrival. A session is
// made when the clock reaches its start, so what is held is what overlaps.
func arrivals(c Config) iter.Seq[Delivery] {
	return func(yield func(Delivery) bool) {
		clock := rand.New(rand.NewPCG(c.Seed, 0xa221))
		world := newWorld(c)
		next, at := 0, c.Start
		var held pending
		for {
			for (c.Sessions == 0 || next < c.Sessions) && (len(held) == 0 || !held[0].At.Before(at)) {
				for i, d := range world.session(next, at) {
					heap.Push(&held, numbered{d, i})
				}
				gap := time.Duration(clock.ExpFloat64() * float64(time.Minute) / c.SessionsPerMinute)
				if next++; next < c.Opening {
					gap = c.MedianLength / 100
				}
				at = at.Add(gap)
			}
			if len(held) == 0 {
				if c.Sessions != 0 && next >= c.Sessions {
					return
				}
				continue // every delivery of that session was lost
			}
			if !yield(heap.Pop(&held).(numbered).Delivery) {
				return
			}
		}
	}
}

// shuffled draws at random from a window over in. Times of arrival stay those
// of the places in the stream, so that they still never go back.
func shuffled(c Config, in iter.Seq[Delivery]) iter.Seq[Delivery] {
	return func(yield func(Delivery) bool) {
		rng := rand.New(rand.NewPCG(c.Seed, 0x5f1e))
		window := make([]Delivery, 0, c.ShuffleWindow)
		last := c.Start
		draw := func() bool {
			i := rng.IntN(len(window))
			d := window[i]
			window[i] = window[len(window)-1]
			window = window[:len(window)-1]
			d.At = last
			return yield(d)
		}
		for d := range in {
			last = d.At
			if window = append(window, d); len(window) == c.ShuffleWindow && !draw() {
				return
			}
		}
		for len(window) > 0 {
			if !draw() {
				return
			}
		}
	}
}

// numbered breaks ties of time by session and place in it, which keeps the order
// of arrival deterministic.
type numbered struct {
	Delivery
	n int
}

type pending []numbered

func (p pending) Len() int { return len(p) }
func (p pending) Less(i, j int) bool {
	if c := p[i].At.Compare(p[j].At); c != 0 {
		return c < 0
	}
	if p[i].Session != p[j].Session {
		return p[i].Session < p[j].Session
	}
	return p[i].n < p[j].n
}
func (p pending) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *pending) Push(x any)   { *p = append(*p, x.(numbered)) }
func (p *pending) Pop() any {
	old := *p
	x := old[len(old)-1]
	*p = old[:len(old)-1]
	return x
}
