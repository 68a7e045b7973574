package traces

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/rs/zerolog"

	"rollcall/projector"
)

// collector takes spans as an OTLP collector does.
func collector(t *testing.T) (address string, spans chan span, headers chan http.Header) {
	t.Helper()
	spans, headers = make(chan span, 100), make(chan http.Header, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e export
		if err := json.UnmarshalRead(r.Body, &e); err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("the collector gets %s %s: %v; want OTLP in JSON", r.Method, r.URL.Path, err)
		}
		headers <- r.Header
		for _, s := range e.Resources[0].Scopes[0].Spans {
			spans <- s
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, spans, headers
}

func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// TestSpansContinueTheCallersTrace: a span has its caller's trace, an own one without
// a caller, and is not made where the caller does not sample. What waits goes out at
// the end.
func TestSpansContinueTheCallersTrace(t *testing.T) {
	t.Parallel()
	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	address, spans, headers := collector(t)
	tracer, err := FromEnv(environment("OTEL_EXPORTER_OTLP_ENDPOINT", address+"/", "OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x"), "v1")
	if err != nil || tracer == nil {
		t.Fatalf("FromEnv = %v, %v; want a tracer", tracer, err)
	}
	served := func(parent string, status int) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/prod?q=secret", nil)
		r.Header.Set("traceparent", parent)
		tracer.Begin(r, time.Now()).Served("/webhooks/{source}", status, "7")
	}
	served("00-"+trace+"-"+caller+"-01", 200)
	served("00-"+trace+"-"+caller+"-00", 200) // the caller does not sample
	served("00-"+strings.Repeat("0", 32)+"-"+caller+"-00", 503)
	served("", 200)
	ctx, end := context.WithCancel(t.Context())
	end()
	if err := tracer.Run(ctx, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	if len(spans) != 3 {
		t.Fatalf("the collector gets %d spans; want 3", len(spans))
	}
	first, second, third := <-spans, <-spans, <-spans
	if first.TraceID != trace || first.Parent != caller || len(first.SpanID) != 16 || first.Name != "POST /webhooks/{source}" || first.Kind != kindServer || first.Status.Code != 0 {
		t.Errorf("span of a caller = %+v; want trace %s and parent %s", first, trace, caller)
	}
	if at := first.Attributes; len(at) != 4 || *at[2].Value.Number != "200" || at[3].Key != "rollcall.sequence" || *at[3].Value.Number != "7" {
		t.Errorf("attributes = %+v; want status 200 and sequence 7", at)
	}
	if second.Parent != "" || strings.Trim(second.TraceID, "0") == "" || second.Status.Code != statusError || third.TraceID == second.TraceID {
		t.Errorf("spans without a caller = %+v, %+v; want a trace each, and the 503 an error", second, third)
	}
	if got := (<-headers).Get("Authorization"); got != "Bearer x" {
		t.Errorf("Authorization = %q; want Bearer x", got)
	}
}

// TestCommitsLinkToDeliveries: a commit's span links to each delivery's span by the
// traceparent that the delivery's record got, and to nothing that is none.
func TestCommitsLinkToDeliveries(t *testing.T) {
	t.Parallel()
	address, spans, _ := collector(t)
	tracer, err := FromEnv(environment("OTEL_EXPORTER_OTLP_ENDPOINT", address), "v1")
	if err != nil {
		t.Fatal(err)
	}
	r := tracer.Begin(httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil), time.Now())
	kept := Traceparent(r.Within(t.Context()))
	r.Served("/webhooks/{source}", 200, "8")
	var none *Request
	if got := Traceparent(none.Within(t.Context())); got != "" {
		t.Errorf("Traceparent of no span = %q; want none", got)
	}
	for _, failure := range []error{nil, errors.New("x")} {
		tracer.Committed(projector.CommitSpan{View: "sessions", Generation: 2, Begun: time.Unix(1, 0), Ended: time.Unix(2, 5), From: 7, To: 10, Records: 2, Links: []string{"", "00-x", kept}, More: 1, Err: failure})
	}
	ctx, end := context.WithCancel(t.Context())
	end()
	if err := tracer.Run(ctx, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	delivery, commit, failed := <-spans, <-spans, <-spans
	if len(commit.Links) != 1 || commit.Links[0] != (link{delivery.TraceID, delivery.SpanID, flagSampled}) || commit.More != 1 {
		t.Errorf("links = %+v and %d more; want one to %s of %s, and 1", commit.Links, commit.More, delivery.SpanID, delivery.TraceID)
	}
	if commit.Name != "commit sessions" || commit.Parent != "" || commit.TraceID == delivery.TraceID || commit.Start != "1000000000" || commit.End != "2000000005" {
		t.Errorf("span of a commit = %+v; want a trace of its own, from second 1 to 2", commit)
	}
	var got []string
	for _, a := range commit.Attributes {
		v := a.Value.Text
		if v == nil {
			v = a.Value.Number
		}
		got = append(got, a.Key+"="+*v)
	}
	if want := "rollcall.view=sessions rollcall.generation=2 rollcall.sequence.first=7 rollcall.sequence.last=9 rollcall.records=2"; strings.Join(got, " ") != want {
		t.Errorf("attributes = %v; want %s", got, want)
	}
	if commit.Status.Code != 0 || failed.Status.Code != statusError {
		t.Errorf("status of a commit and of one that failed = %d, %d; want 0, %d", commit.Status.Code, failed.Status.Code, statusError)
	}
}

// TestTracesAreDropped: a collector that is away, and spans that are too many, hold
// nobody up.
func TestTracesAreDropped(t *testing.T) {
	t.Parallel()
	tracer, err := FromEnv(environment("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1/x"), "v1")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	for range queued + 10 {
		tracer.Begin(r, time.Now()).Served("/", 200, "")
	}
	if got := tracer.dropped.Load(); got != 10 {
		t.Errorf("of %d spans %d are dropped; want 10", queued+10, got)
	}
	ctx, end := context.WithCancel(t.Context())
	end()
	var log strings.Builder
	if err := tracer.Run(ctx, zerolog.New(&log)); err != nil || !strings.Contains(log.String(), "spans were dropped") {
		t.Errorf("Run with no collector = %v, log %s; want the dropped spans named", err, log.String())
	}
}

// TestEnvironment: what turns traces on and off, and what is refused with its name.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for _, env := range [][]string{nil, {endpoint, "http://x:1", "OTEL_SDK_DISABLED", "true"}, {endpoint, "http://x:1", "OTEL_TRACES_EXPORTER", "none"}, {endpoint, ""}} {
		if tracer, err := FromEnv(environment(env...), ""); tracer != nil || err != nil {
			t.Errorf("FromEnv(%q) = %v, %v; want none", env, tracer, err)
		}
	}
	for _, env := range [][]string{{endpoint, "x:1"}, {endpoint, "http://x:1", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}, {endpoint, "http://x:1", "OTEL_EXPORTER_OTLP_HEADERS", "x"},
		{endpoint, "http://x:1", "OTEL_TRACES_SAMPLER_ARG", "2"}, {endpoint, "http://x:1", "OTEL_TRACES_SAMPLER_ARG", "NaN"}} {
		if _, err := FromEnv(environment(env...), ""); err == nil || !strings.Contains(err.Error(), env[len(env)-2]) {
			t.Errorf("FromEnv(%q) = %v; want an error that names %s", env, err, env[len(env)-2])
		}
	}
	tracer, err := FromEnv(environment(endpoint, "http://x:1", "OTEL_TRACES_SAMPLER_ARG", "0"), "")
	if err != nil {
		t.Fatal(err)
	}
	tracer.Begin(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), time.Now()).Served("/", 200, "")
	if len(tracer.spans) != 0 {
		t.Errorf("with a share of 0 there are %d spans; want none", len(tracer.spans))
	}
}
