package ingest_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"rollcall/eventlog"
	"rollcall/ingest"
)

func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	h := newHandler(t, ingest.Config{Log: &memory{}, Metrics: registry, MaxBody: 1000, Sources: []ingest.Source{{Name: "open", Scheme: "none"}}})
	post(h, "/webhooks/open", started)
	post(h, "/webhooks/open", `{"event":"new.thing","event":"new.thing"}`)
	post(h, "/webhooks/open", "no json")
	post(h, "/webhooks/open", strings.Repeat("x", 1001))
	post(h, "/webhooks/nobody", started)
	for metric, want := range map[string]string{
		"rollcall_ingest_requests_total": `
			rollcall_ingest_requests_total{code="200",source="open"} 3
			rollcall_ingest_requests_total{code="200",source="unknown"} 0
			rollcall_ingest_requests_total{code="404",source="unknown"} 1
			rollcall_ingest_requests_total{code="413",source="open"} 1`,
		"rollcall_ingest_refusals_total": `
			rollcall_ingest_refusals_total{reason="too-large",source="open"} 1
			rollcall_ingest_refusals_total{reason="unknown-source",source="unknown"} 1`,
	} {
		text := "# HELP " + metric + " x\n# TYPE " + metric + " counter" + want + "\n"
		text = strings.ReplaceAll(text, "\t", "")
		text = strings.Replace(text, " x\n", " "+helpOf(t, registry, metric)+"\n", 1)
		if err := testutil.GatherAndCompare(registry, strings.NewReader(text), metric); err != nil {
			t.Error(err)
		}
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint of metric names: %v, %v", problems, err)
	}
}

func helpOf(t testing.TB, g prometheus.Gatherer, name string) string {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetHelp()
		}
	}
	t.Fatalf("no metric %s", name)
	return ""
}

// TestNothingOfADeliveryIsLogged puts a mark everywhere a sender can, and looks
// for it in all log lines at the finest level.
func TestNothingOfADeliveryIsLogged(t *testing.T) {
	const mark = "S3CRETMARK"
	key := testKeys()[0]
	var out bytes.Buffer
	logger := zerolog.New(&out).Level(zerolog.TraceLevel)
	log := &memory{}
	h := newHandler(t, ingest.Config{Log: log, Logger: logger, MaxBody: 1000, Sources: []ingest.Source{
		{Name: "prod", Scheme: "rsa", Key: keyFile(t, publicPEM(t, key))}, {Name: "open", Scheme: "none"},
	}})
	body := `{"event":"` + mark + `","title":"` + mark + `","streamKey":"` + mark + `","meeting":{"id":"` + mark + `"}}`
	headers := []string{"dyte-uuid", mark, "dyte-webhook-id", mark, "user-agent", mark}
	post(h, "/webhooks/open?token="+mark, body, headers...)
	post(h, "/webhooks/prod?token="+mark, body, append(headers, "dyte-signature", mark)...)
	post(h, "/webhooks/prod?token="+mark, body, headers...)
	post(h, "/webhooks/"+mark, body, headers...)
	post(h, "/webhooks/open", mark+strings.Repeat("x", 1001), headers...)
	log.err = eventlog.ErrUnavailable
	post(h, "/webhooks/open", body, headers...)
	if strings.Contains(out.String(), mark) {
		t.Errorf("a log line holds what was sent: %s", out.String())
	}
	if n := strings.Count(out.String(), "\n"); n < 5 {
		t.Errorf("%d log lines; want one an answer", n)
	}
}
