package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"rollcall/eventlog/wire"
)

// Load posts deliveries to a webhook listener until Ctx ends: each is one of Bodies under
// an id that nobody sent before.
type Load struct {
	Ctx    context.Context
	Bodies []Delivery
	next   atomic.Uint64 // makes delivery uuids
}

// Delivery is a body with its signature.
type Delivery struct{ Body, Signature string }

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, requestTimeout.Microseconds(), 3) // µs
}

// closedLoop has each connection send as soon as it was answered.
func (b *Load) closedLoop(address string, connections int, d time.Duration) (int64, *hdrhistogram.Histogram, error) {
	end := time.Now().Add(d)
	return b.drive(address, connections, func(c *Client, h *hdrhistogram.Histogram) (int64, error) {
		n := int64(0)
		for {
			began := time.Now()
			if began.After(end) || b.Ctx.Err() != nil {
				return n, b.Ctx.Err()
			}
			if err := c.post(b); err != nil {
				return n, err
			}
			_ = h.RecordValue(time.Since(began).Microseconds())
			n++
		}
	})
}

// OpenLoop sends at fixed times, whether or not the earlier ones were answered,
// and counts from when a request was due: no coordinated omission.
func (b *Load) OpenLoop(address string, rate int, d time.Duration) (*hdrhistogram.Histogram, error) {
	began := time.Now()
	total := int64(d.Seconds() * float64(rate))
	var next atomic.Int64
	_, h, err := b.drive(address, min(workers, rate), func(c *Client, h *hdrhistogram.Histogram) (int64, error) {
		for i := next.Add(1) - 1; i < total; i = next.Add(1) - 1 {
			due := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
			if err := wire.Pause(b.Ctx, time.Until(due)); err != nil {
				return 0, err
			}
			if err := c.post(b); err != nil {
				return 0, err
			}
			_ = h.RecordValue(min(time.Since(due), requestTimeout).Microseconds())
		}
		return 0, nil
	})
	return h, err
}

// drive runs work on as many connections, and adds up.
func (b *Load) drive(address string, connections int, work func(*Client, *hdrhistogram.Histogram) (int64, error)) (int64, *hdrhistogram.Histogram, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var all error
	var count int64
	sum := newHistogram()
	for range connections {
		client, err := Dial(b.Ctx, address)
		if err != nil {
			all = errors.Join(all, err)
			break
		}
		wg.Go(func() {
			defer client.Conn.Close()
			h := newHistogram()
			n, err := work(client, h)
			mu.Lock()
			defer mu.Unlock()
			count += n
			sum.Merge(h)
			if err != nil && all == nil {
				all = err
			}
		})
	}
	wg.Wait()
	return count, sum, all
}

// Client is a keep-alive connection that costs as little as it can: the
// load generator shares the machine with what it measures.
type Client struct {
	Conn net.Conn
	In   *bufio.Reader
	out  []byte
}

// Dial connects to a webhook listener.
func Dial(ctx context.Context, address string) (*Client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &Client{Conn: conn, In: bufio.NewReaderSize(conn, 1024)}, nil
}

// post sends a delivery that nobody sent before.
func (c *Client) post(b *Load) error {
	d := b.Bodies[rand.IntN(len(b.Bodies))]
	c.out = append(c.out[:0], "POST /webhooks/bench HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nDyte-Uuid: u"...)
	c.out = strconv.AppendUint(c.out, b.next.Add(1), 10)
	c.out = append(c.out, "\r\nDyte-Signature: "...)
	c.out = append(c.out, d.Signature...)
	c.out = append(c.out, "\r\nContent-Length: "...)
	c.out = strconv.AppendInt(c.out, int64(len(d.Body)), 10)
	c.out = append(c.out, "\r\n\r\n"...)
	c.out = append(c.out, d.Body...)
	if err := c.Conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return err
	}
	if _, err := c.Conn.Write(c.out); err != nil {
		return err
	}
	return c.answer()
}

// answer reads a response, which must be a 200.
func (c *Client) answer() error {
	length := 0
	for n := 0; ; n++ {
		line, err := c.In.ReadSlice('\n')
		if err != nil {
			return err
		}
		text := strings.TrimRight(string(line), "\r\n")
		switch {
		case n == 0 && !strings.HasPrefix(text, "HTTP/1.1 200"):
			return fmt.Errorf("answer is %q", text)
		case text == "":
			_, err := io.CopyN(io.Discard, c.In, int64(length))
			return err
		}
		if value, ok := strings.CutPrefix(text, "Content-Length: "); ok {
			if length, err = strconv.Atoi(value); err != nil {
				return err
			}
		}
	}
}
