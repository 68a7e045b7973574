package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/natsd"
)

// version says what was built, from what the Go linker knows.
type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Time     string `json:"time"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	NATS     string `json:"natsServer"`
}

func buildVersion() version {
	v := version{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, NATS: natsd.Version}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if m := info.Main.Version; m != "" && m != "(devel)" {
		v.Version = m
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

// versionCmd is `rollcall version`.
type versionCmd struct{ console.OutputFlag }

// Help is the command's example.
func (versionCmd) Help() string { return "Example:\n  rollcall version --output json" }

// Run prints the version.
func (c *versionCmd) Run(a *app) error {
	v := buildVersion()
	if c.Output == "json" {
		return console.PrintJSON(a.Stdout, v)
	}
	g := &console.Grid{Columns: []string{"version", "revision", "time", "modified", "go", "platform", "natsServer"}}
	g.Add(v.Version, v.Revision, v.Time, v.Modified, v.Go, v.Platform, v.NATS)
	if c.Output == "csv" {
		return c.Print(a.Stdout, g)
	}
	words := strings.Join(strings.Fields("rollcall "+v.Version+" "+v.Revision+" "+v.Time), " ") // what the linker does not know is left out
	_, err := fmt.Fprintf(a.Stdout, "%s\n%s %s, nats-server %s\n", words, v.Go, v.Platform, v.NATS)
	return err
}
