package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/cmd/rollcall/internal/console"
)

// TestSourcesOfTheFile: what a source may say in the config file is applied, and
// what it may not say stops the program: a filter that is misspelt would be off.
func TestSourcesOfTheFile(t *testing.T) {
	const secret = "hunter22hunter22"
	for members, want := range map[string]struct {
		code int
		says string
	}{
		`webhookIds: [w1, w2]`:                                {console.ExitDone, "webhookIds=w1,w2"},
		`organizationIds: [o1], requireOrganization: true`:    {console.ExitDone, "organizationIds=o1 requireOrganization"},
		`pathToken: ` + secret:                                {console.ExitDone, "pathToken=redacted"},
		`pathTokenFile: token.txt`:                            {console.ExitDone, "pathTokenFile=token.txt"},
		`rate: 5, burst: 7`:                                   {console.ExitDone, "rate=5 burst=7"},
		`webhookIDs: [w1]`:                                    {console.ExitUsage, "source 1: webhookIDs: unknown member"},
		`webhook-ids: [w1]`:                                   {console.ExitUsage, "source 1: webhook-ids: unknown member"},
		`organisationIds: [o1]`:                               {console.ExitUsage, "source 1: organisationIds: unknown member"},
		`webhookIds: w1`:                                      {console.ExitUsage, "webhookIds: want a list of texts"},
		`requireOrganization: "true", organizationIds: [o1]`:  {console.ExitUsage, "requireOrganization: want true or false"},
		`requireOrganization: true`:                           {console.ExitUsage, "requireOrganization needs organizationIds"},
		`pathToken: short`:                                    {console.ExitUsage, "bad pathToken"},
		`pathToken: ` + secret + `, pathTokenFile: token.txt`: {console.ExitUsage, "give one of them"},
		`rate: many`:                                          {console.ExitUsage, "rate: want a number"},
	} {
		file := filepath.Join(t.TempDir(), "rollcall.yaml")
		if err := os.WriteFile(file, []byte("sources:\n  - {name: prod, scheme: none, "+members+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := inProcess(t, nil, "config", "show", "--config", file)
		if code != want.code || !strings.Contains(stdout+stderr, want.says) {
			t.Errorf("config show of a source with %s = %d\n%s%s; want %d and %q", members, code, stdout, stderr, want.code, want.says)
		}
		if strings.Contains(stdout+stderr, secret) {
			t.Errorf("config show of a source with %s prints the token", members)
		}
	}
}
