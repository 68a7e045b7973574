package node

import (
	"context"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"rollcall/ingest"
	"rollcall/query/pipeline"
)

// TestWarningsAreReported: a source that takes any organization's events is a warning,
// which names no source and fits a status.
func TestWarningsAreReported(t *testing.T) {
	rsa := ingest.Source{Name: "prod", Scheme: ingest.SchemeRSA}
	bound, secret := rsa, rsa
	bound.OrganizationIDs, secret.PathToken = []string{"o"}, "a-token-of-the-path"
	for _, c := range []struct {
		ingests bool
		sources []ingest.Source
		want    int
	}{{true, []ingest.Source{bound, rsa}, 1}, {true, []ingest.Source{bound, secret}, 0}, {false, []ingest.Source{rsa}, 0}} {
		n := New(Config{Roles: Roles{Ingest: c.ingests}, Handler: ingest.Config{Sources: c.sources}}, zerolog.Nop())
		got := n.warnings()
		if len(got) != c.want || len(got) > 0 && (len(got[0]) > 128 || strings.Contains(got[0], "prod")) {
			t.Errorf("warnings of %+v = %q; want %d, short and without a name", c.sources, got, c.want)
		}
	}
}

// TestStatusAsksHealthOnce: a status, which is made every second, runs each check once.
func TestStatusAsksHealthOnce(t *testing.T) {
	n := New(Config{Roles: Roles{Ingest: true}}, zerolog.Nop())
	runs := 0
	n.Health.Add(Check{"log", func(context.Context) (string, error) { runs++; return "", nil }})
	n.fillStatus(&pipeline.Status{})
	if runs != 1 {
		t.Errorf("a status ran a check %d times; want once", runs)
	}
}
