package main

import (
	"strings"
	"testing"

	"rollcall/cmd/rollcall/internal/console"
)

// TestOriginOfAWrongValue: who wrote it finds it, wherever that was.
func TestOriginOfAWrongValue(t *testing.T) {
	file := writeFile(t, "rollcall.yaml", []byte("replicas: many\n"))
	for _, c := range []struct {
		env  map[string]string
		args []string
		want string
	}{
		{map[string]string{"ROLLCALL_REPLICAS": "many"}, nil, "(ROLLCALL_REPLICAS in the environment sets it)"},
		{map[string]string{"ROLLCALL_REPLICAS": "7"}, nil, "(ROLLCALL_REPLICAS in the environment sets it)"},
		{nil, []string{"--config", file}, "(replicas in config file " + file + " sets it)"},
		{nil, []string{"--replicas", "many"}, ""},
	} {
		code, _, stderr := inProcess(t, c.env, append([]string{"serve"}, c.args...)...)
		if code != console.ExitUsage || !strings.Contains(stderr, "--replicas") || !strings.Contains(stderr, c.want) || c.want == "" && strings.Contains(stderr, "sets it") {
			t.Errorf("serve %v with %v = %d, %q; want 2, the flag and %q", c.args, c.env, code, stderr, c.want)
		}
	}
}
