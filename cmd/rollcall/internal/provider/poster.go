package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog/wire"
)

// Receipt is what the ingester answers to a delivery that it stored.
type Receipt struct {
	EventID   string `json:"eventId"`
	Sequence  uint64 `json:"sequence"`
	Duplicate bool   `json:"duplicate"`
}

// Poster posts deliveries as a provider does: signed, retried on a 5xx and on a
// broken connection, given up on any other answer.
type Poster struct {
	client *http.Client
	URL    string
	key    *Key
	// tries is how often a delivery is sent in all.
	tries int
}

// NewPoster posts to a webhook address over up to this many connections. Without a key
// the deliveries are not signed.
func NewPoster(address string, key *Key, connections int) (*Poster, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, console.Usagef("--url %q is no address; want one like http://127.0.0.1:8080/webhooks/NAME", address)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = connections, connections, connections
	return &Poster{client: &http.Client{Transport: t, Timeout: 10 * time.Second}, URL: address, key: key, tries: 4}, nil
}

// Close closes the connections that are idle.
func (p *Poster) Close() { p.client.CloseIdleConnections() }

// RefusedError is an answer that is final.
type RefusedError struct {
	Status int
	detail string
}

// Error has the status and the reason that the ingester gave.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the ingester answered %d %s: %s", e.Status, http.StatusText(e.Status), e.detail)
}

// Post sends body with headers, and a signature where there is a signer.
// family names the signature header: dyte or rtk.
func (p *Poster) Post(ctx context.Context, family string, headers [][2]string, body []byte) (Receipt, error) {
	var signature string
	if p.key != nil {
		s, err := p.key.Sign(body)
		if err != nil {
			return Receipt{}, err
		}
		signature = s
	}
	var last error
	for try := range p.tries {
		if try > 0 {
			if err := wire.Pause(ctx, time.Duration(try)*250*time.Millisecond); err != nil {
				return Receipt{}, errors.Join(err, last)
			}
		}
		r, again, err := p.once(ctx, family, signature, headers, body)
		if err == nil || !again {
			return r, err
		}
		last = err
	}
	return Receipt{}, last
}

// once sends a delivery once; again says that a provider would send it again.
func (p *Poster) once(ctx context.Context, family, signature string, headers [][2]string, body []byte) (r Receipt, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return r, false, fmt.Errorf("make request: %w", err)
	}
	for _, h := range headers {
		req.Header.Set(h[0], h[1])
	}
	if signature != "" {
		req.Header.Set(family+"-signature", signature)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return r, ctx.Err() == nil, fmt.Errorf("post delivery: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return r, true, fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return r, resp.StatusCode >= 500, &RefusedError{resp.StatusCode, console.Problem(answer)}
	}
	if err := json.Unmarshal(answer, &r); err != nil {
		return r, false, fmt.Errorf("read answer %s: %w", strconv.Quote(string(answer)), err)
	}
	return r, false, nil
}
