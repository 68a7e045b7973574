package main

import (
	"fmt"
	"strings"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/node"
)

// versionCmd is `rollcall version`.
type versionCmd struct{ console.OutputFlag }

// Help is the command's example.
func (versionCmd) Help() string { return "Example:\n  rollcall version --output json" }

// Run prints the version.
func (c *versionCmd) Run(a *app) error {
	v := node.ReadBuild()
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
