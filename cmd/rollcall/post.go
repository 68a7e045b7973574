package main

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

// receipt is what the ingester answers to a delivery that it stored.
type receipt struct {
	EventID   string `json:"eventId"`
	Sequence  uint64 `json:"sequence"`
	Duplicate bool   `json:"duplicate"`
}

// poster posts deliveries as a provider does: signed, retried on a 5xx and on a
// broken connection, given up on any other answer.
type poster struct {
	client *http.Client
	url    string
	signer *signer
	// tries is how often a delivery is sent in all.
	tries int
}

func newPoster(address string, s *signer, connections int) (*poster, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, console.Usagef("--url %q is no address; want one like http://127.0.0.1:8080/webhooks/NAME", address)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = connections, connections, connections
	return &poster{client: &http.Client{Transport: t, Timeout: 10 * time.Second}, url: address, signer: s, tries: 4}, nil
}

func (p *poster) close() { p.client.CloseIdleConnections() }

// refusedError is an answer that is final.
type refusedError struct {
	status int
	detail string
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("the ingester answered %d %s: %s", e.status, http.StatusText(e.status), e.detail)
}

// post sends body with headers, and a signature where there is a signer.
// family names the signature header: dyte or rtk.
func (p *poster) post(ctx context.Context, family string, headers [][2]string, body []byte) (receipt, error) {
	var signature string
	if p.signer != nil {
		s, err := p.signer.sign(body)
		if err != nil {
			return receipt{}, err
		}
		signature = s
	}
	var last error
	for try := range p.tries {
		if try > 0 {
			if err := wire.Pause(ctx, time.Duration(try)*250*time.Millisecond); err != nil {
				return receipt{}, errors.Join(err, last)
			}
		}
		r, again, err := p.once(ctx, family, signature, headers, body)
		if err == nil || !again {
			return r, err
		}
		last = err
	}
	return receipt{}, last
}

func (p *poster) once(ctx context.Context, family, signature string, headers [][2]string, body []byte) (r receipt, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
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
		return r, resp.StatusCode >= 500, &refusedError{resp.StatusCode, problem(answer)}
	}
	if err := json.Unmarshal(answer, &r); err != nil {
		return r, false, fmt.Errorf("read answer %s: %w", strconv.Quote(string(answer)), err)
	}
	return r, false, nil
}

// problem is what a problem document says, else the text itself.
func problem(answer []byte) string {
	var p struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	if json.Unmarshal(answer, &p) == nil && p.Title+p.Detail != "" {
		if p.Detail == "" {
			return p.Title
		}
		return p.Detail
	}
	return string(bytes.TrimSpace(answer))
}
