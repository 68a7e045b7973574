package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"rollcall/cmd/rollcall/internal/node"
	"rollcall/cmd/rollcall/internal/traces"
)

// TestTraces: a delivery and a read of a running node arrive at a collector, in the
// trace of who sent them, without what stands in path and query, and so does the commit
// of the delivery's record, with a link to the delivery.
func TestTraces(t *testing.T) {
	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	batches := make(chan string, 100)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		batches <- string(body)
	}))
	defer collector.Close()
	c, err := configOf(t, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c.Traces, err = traces.FromEnv(func(name string) (string, bool) { return collector.URL, name == "OTEL_EXPORTER_OTLP_ENDPOINT" }, "test")
	if err != nil {
		t.Fatal(err)
	}
	n := node.New(c, zerolog.Nop())
	stop := runNode(t, n)
	for _, address := range []string{"POST http://" + n.Addresses().Ingest + "/webhooks/test", "GET http://" + n.Addresses().API + "/v1/sessions/secret-id?wait=1s"} {
		method, url, _ := strings.Cut(address, " ")
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(`{"event":"meeting.started","meeting":{"id":"m","sessionId":"secret-id"}}`))
		if err != nil {
			t.Fatal(err)
		}
		if method == http.MethodGet {
			req.Body, req.ContentLength = http.NoBody, 0
		}
		req.Header.Set("traceparent", "00-"+trace+"-"+caller+"-01")
		req.Header.Set("rtk-uuid", "d1")
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	if err := stop(); err != nil { // with a last commit of what is not stored yet
		t.Fatal(err)
	}
	var got string
	for end := time.After(time.Minute); strings.Count(got, caller) < 2 || !strings.Contains(got, `"name":"commit sessions"`); {
		select {
		case batch := <-batches:
			got += batch
		case <-end:
			t.Fatalf("the collector gets %s; want two spans of %s, and a commit", got, caller)
		}
	}
	delivery := regexp.MustCompile(`"spanId":"(\w+)","parentSpanId":"` + caller + `","flags":1,"name":"POST `).FindStringSubmatch(got)
	if delivery == nil {
		t.Fatalf("the collector gets %s; want a span of the delivery", got)
	}
	commit := regexp.MustCompile(`"name":"commit sessions".*?"links":\[(.*?)\]`).FindStringSubmatch(got)
	if want := `{"traceId":"` + trace + `","spanId":"` + delivery[1] + `","flags":1}`; commit == nil || commit[1] != want {
		t.Errorf("the collector gets %s; want the commit of view sessions to link to %s", got, want)
	}
	for _, want := range []string{`"traceId":"` + trace + `"`, `"name":"POST /webhooks/{source}"`, `"rollcall.sequence","value":{"intValue":"1"}`, `"name":"GET /v1/sessions/{sessionId}"`} {
		if !strings.Contains(got, want) {
			t.Errorf("the collector gets %s; want %s in it", got, want)
		}
	}
	if strings.Contains(got, "secret-id") || strings.Contains(got, "/webhooks/test") {
		t.Errorf("the collector gets %s; want no ids", got)
	}
}
