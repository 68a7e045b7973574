package traces

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/rs/zerolog"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/projector"
)

const (
	queued      = 4096 // spans that wait; more are dropped
	batched     = 512  // spans in a request at most
	every       = time.Second
	sendTimeout = 10 * time.Second
	// lastTimeout bounds the sending of what is left at the end.
	lastTimeout = 2 * time.Second
)

// Tracer makes spans of what was answered and committed. nil begins none. Its methods may be used
// from several goroutines.
type Tracer struct {
	endpoint string
	header   http.Header
	ratio    float64 // of requests that no caller has decided on
	resource []attribute
	spans    chan span
	dropped  atomic.Int64
}

// FromEnv reads the OpenTelemetry environment. It is nil where that names no endpoint,
// or turns traces off.
func FromEnv(env func(string) (string, bool), version string) (*Tracer, error) {
	get := func(names ...string) (name, value string) {
		for _, name := range names {
			if value, ok := env(name); ok && value != "" {
				return name, value
			}
		}
		return "", ""
	}
	const all, ours = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	name, endpoint := get(ours, all)
	_, off := get("OTEL_SDK_DISABLED")
	_, exporter := get("OTEL_TRACES_EXPORTER")
	if endpoint == "" || strings.EqualFold(off, "true") || exporter == "none" {
		return nil, nil
	}
	if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, console.Usagef("%s: want an address like http://collector:4318", name)
	}
	if name == all {
		endpoint = strings.TrimSuffix(endpoint, "/") + "/v1/traces"
	}
	if name, protocol := get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol == "grpc" {
		return nil, console.Usagef("%s=grpc: traces go over HTTP; unset it, and name the collector's HTTP port, mostly 4318", name)
	}
	t := &Tracer{endpoint: endpoint, header: http.Header{}, ratio: 1, spans: make(chan span, queued)}
	if name, text := get("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"); text != "" {
		for pair := range strings.SplitSeq(text, ",") {
			key, value, ok := strings.Cut(pair, "=")
			value, err := url.PathUnescape(strings.TrimSpace(value))
			if !ok || err != nil {
				return nil, console.Usagef("%s: want key=value, and commas between", name)
			}
			t.header.Set(strings.TrimSpace(key), value)
		}
	}
	if name, text := get("OTEL_TRACES_SAMPLER_ARG"); text != "" {
		var err error
		if t.ratio, err = strconv.ParseFloat(text, 64); err != nil || !(t.ratio >= 0 && t.ratio <= 1) {
			return nil, console.Usagef("%s=%q: want a share from 0 to 1", name, text)
		}
	}
	_, service := get("OTEL_SERVICE_NAME")
	if service == "" {
		service = "rollcall"
	}
	t.resource = []attribute{text("service.name", service), text("service.version", version)}
	if host, err := os.Hostname(); err == nil {
		t.resource = append(t.resource, text("host.name", host))
	}
	return t, nil
}

// Request is the span of a request from its begin to its answer. nil is none, as where
// the request is not sampled.
type Request struct {
	tracer *Tracer
	method string
	span   span
}

// Begin begins the span of a request, in its caller's trace where it names one.
func (t *Tracer) Begin(req *http.Request, begin time.Time) *Request {
	if t == nil {
		return nil
	}
	trace, above, sampled, ok := parent(req.Header.Get("traceparent"))
	if !ok {
		trace, sampled = newID(16), rand.Float64() < t.ratio
	}
	if !sampled {
		return nil
	}
	return &Request{t, req.Method, span{TraceID: trace, Parent: above, SpanID: newID(8), Flags: flagSampled, Kind: kindServer, Start: nanos(begin)}}
}

// Served ends the span. sequence is that of the record that the request made; "": none.
// It never blocks.
func (r *Request) Served(route string, status int, sequence string) {
	if r == nil {
		return
	}
	s := r.span
	s.Name, s.End = r.method+" "+route, nanos(time.Now())
	s.Attributes = []attribute{text("http.request.method", r.method), text("http.route", route), number("http.response.status_code", strconv.Itoa(status))}
	if sequence != "" {
		s.Attributes = append(s.Attributes, number("rollcall.sequence", sequence))
	}
	if status >= http.StatusInternalServerError {
		s.Status.Code = statusError
	}
	r.tracer.put(s)
}

type requestKey struct{}

// Within puts the span into a context, for Traceparent.
func (r *Request) Within(ctx context.Context) context.Context {
	if r == nil {
		return ctx
	}
	return context.WithValue(ctx, requestKey{}, r)
}

// Traceparent is what whoever continues the span within ctx says of it; "": there is none.
func Traceparent(ctx context.Context) string {
	r, ok := ctx.Value(requestKey{}).(*Request)
	if !ok {
		return ""
	}
	return "00-" + r.span.TraceID + "-" + r.span.SpanID + "-01"
}

// Committed makes a span of a commit, a trace of its own with a link to the span of each
// delivery in it that was sampled. It never blocks.
func (t *Tracer) Committed(c projector.CommitSpan) {
	s := span{TraceID: newID(16), SpanID: newID(8), Flags: flagSampled, Name: "commit " + c.View, Kind: kindConsumer, Start: nanos(c.Begun), End: nanos(c.Ended), More: c.More}
	for _, traceparent := range c.Links {
		if trace, above, _, ok := parent(traceparent); ok {
			s.Links = append(s.Links, link{trace, above, flagSampled})
		}
	}
	s.Attributes = []attribute{
		text("rollcall.view", c.View), number("rollcall.generation", strconv.Itoa(c.Generation)), number("rollcall.sequence.first", seq(c.From)),
		number("rollcall.sequence.last", seq(c.To-1)), number("rollcall.records", strconv.Itoa(c.Records)),
	}
	if c.Err != nil {
		s.Status.Code = statusError
	}
	t.put(s)
}

func seq(n eventlog.Seq) string { return strconv.FormatUint(uint64(n), 10) }

// put queues a span for Run.
func (t *Tracer) put(s span) {
	select {
	case t.spans <- s:
	default:
		t.dropped.Add(1)
	}
}

// parent reads a traceparent of W3C's Trace Context, version 00 or later.
func parent(header string) (trace, span string, sampled, ok bool) {
	parts := strings.Split(header, "-")
	if len(parts) < 4 || len(parts[0]) != 2 || len(parts[1]) != 32 || len(parts[2]) != 16 || len(parts[3]) != 2 || parts[0] == "ff" || parts[0] == "00" && len(parts) != 4 {
		return "", "", false, false
	}
	for _, p := range parts[:4] {
		if _, err := hex.DecodeString(p); err != nil || p != strings.ToLower(p) {
			return "", "", false, false
		}
	}
	if strings.Trim(parts[1], "0") == "" || strings.Trim(parts[2], "0") == "" {
		return "", "", false, false
	}
	flags, _ := strconv.ParseUint(parts[3], 16, 8) // hex, as was seen
	return parts[1], parts[2], flags&1 == 1, true
}

// newID is so many random bytes in hex, not all 0.
func newID(size int) string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], rand.Uint64()|1)
	binary.LittleEndian.PutUint64(b[8:], rand.Uint64())
	return hex.EncodeToString(b[:size])
}

// Run sends spans until ctx ends, and then what is left.
func (t *Tracer) Run(ctx context.Context, log zerolog.Logger) error {
	client := &http.Client{Timeout: sendTimeout}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for failing := false; ; {
		ended := false
		select {
		case <-tick.C:
		case <-ctx.Done():
			ended = true
		}
		err := t.flush(context.WithoutCancel(ctx), client, ended)
		if dropped := t.dropped.Swap(0); dropped > 0 && (!failing || ended) {
			log.Warn().Err(err).Int64("spans", dropped).Msg("spans were dropped: the collector did not take them, or too many came")
		}
		failing = err != nil
		if ended {
			return nil
		}
	}
}

// flush sends what waits. At the end it has less time.
func (t *Tracer) flush(ctx context.Context, client *http.Client, last bool) error {
	if last {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, lastTimeout)
		defer cancel()
	}
	for {
		batch := make([]span, 0, batched)
		for more := true; more && len(batch) < batched; {
			select {
			case s := <-t.spans:
				batch = append(batch, s)
			default:
				more = false
			}
		}
		if len(batch) == 0 {
			return nil
		}
		if err := t.send(ctx, client, batch); err != nil {
			t.dropped.Add(int64(len(batch)))
			return err
		}
	}
}

// withoutAddress is an error of a request without its address, which may hold a secret.
func withoutAddress(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}

// send posts a batch of spans. Its errors don't name the collector's address,
// which may hold a secret.
func (t *Tracer) send(ctx context.Context, client *http.Client, batch []span) error {
	body, err := json.Marshal(export{[]resourceSpans{{Resource: resource{t.resource}, Scopes: []scopeSpans{{Scope: scope{"rollcall"}, Spans: batch}}}}})
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.endpoint, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("send spans: %w", err)
	}
	req.Header = t.header.Clone()
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("send spans: %w", withoutAddress(err))
	}
	res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("send spans: the collector answers %d", res.StatusCode)
	}
	return nil
}
