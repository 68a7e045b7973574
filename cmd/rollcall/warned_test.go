package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/node"
)

// TestServeWarnsOfTenants: who starts a server with a source that takes every
// tenant's events reads so in its log.
func TestServeWarnsOfTenants(t *testing.T) {
	keys := t.TempDir()
	if code, _, stderr := inProcess(t, nil, "keygen", keys); code != console.ExitDone {
		t.Fatalf("keygen = %d: %s", code, stderr)
	}
	var log bytes.Buffer
	c := testNode(t, t.TempDir(), "--source", "wide=rsa:"+filepath.Join(keys, "public.pem")).Config
	if err := runNode(t, node.New(c, zerolog.New(zerolog.SyncWriter(&log))))(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), `"source":"wide","message":"a signature proves the provider, not the tenant`) {
		t.Errorf("log = %s; want a warning of the source wide", log.String())
	}
}
