package traces

import (
	"context"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// TestParent: a traceparent is taken as W3C writes it, and anything else is none.
func TestParent(t *testing.T) {
	t.Parallel()
	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for header, sampled := range map[string]bool{
		"00-" + trace + "-" + caller + "-01": true, "00-" + trace + "-" + caller + "-00": false, "00-" + trace + "-" + caller + "-03": true,
		"01-" + trace + "-" + caller + "-01": true, "01-" + trace + "-" + caller + "-01-more": true, // of a later version
	} {
		if gotTrace, span, got, ok := parent(header); !ok || gotTrace != trace || span != caller || got != sampled {
			t.Errorf("parent(%q) = %s, %s, sampled %v, %v; want %s, %s, %v", header, gotTrace, span, got, ok, trace, caller, sampled)
		}
	}
	for _, header := range []string{
		"", "00", "00-" + trace + "-" + caller, "00-" + trace + "-" + caller + "-01-more", "ff-" + trace + "-" + caller + "-01",
		"0-" + trace + "-" + caller + "-01", "00-" + trace[1:] + "-" + caller + "-01", "00-" + trace + "-" + caller[1:] + "-01", "00-" + trace + "-" + caller + "-1",
		"00-" + strings.ToUpper(trace) + "-" + caller + "-01", "00-" + trace[1:] + "x-" + caller + "-01", "00-" + trace + "-" + caller[1:] + "x-01", "00-" + trace + "-" + caller + "-0x",
		"00-" + strings.Repeat("0", 32) + "-" + caller + "-01", "00-" + trace + "-" + strings.Repeat("0", 16) + "-01",
	} {
		if gotTrace, span, _, ok := parent(header); ok {
			t.Errorf("parent(%q) = %s, %s; want none", header, gotTrace, span)
		}
	}
}

// TestNewID: ids differ in each half, and are never 0.
func TestNewID(t *testing.T) {
	t.Parallel()
	a, b := newID(16), newID(16)
	if len(a) != 32 || len(newID(8)) != 16 || a[:16] == b[:16] || a[16:] == b[16:] || strings.Trim(a[:16], "0") == "" {
		t.Errorf("newID(16) = %s, then %s; want ids that differ in both halves", a, b)
	}
}

// TestServiceName: a process has the name that it is given, and ours without one; and
// one that dropped nothing logs nothing.
func TestServiceName(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"": "rollcall", "meetings": "meetings"} {
		tracer, err := FromEnv(environment("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", "OTEL_SERVICE_NAME", given), "v7")
		if err != nil {
			t.Fatal(err)
		}
		if r := tracer.resource; len(r) < 2 || r[0].Key != "service.name" || *r[0].Value.Text != want || *r[1].Value.Text != "v7" {
			t.Errorf("resource with OTEL_SERVICE_NAME %q = %+v; want %s of v7", given, r, want)
		}
		ctx, end := context.WithCancel(t.Context())
		end()
		var log strings.Builder
		if err := tracer.Run(ctx, zerolog.New(&log)); err != nil || log.Len() != 0 {
			t.Errorf("Run without spans = %v, log %s; want nothing", err, log.String())
		}
	}
}
