package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/ingest"
)

// configCmd is `rollcall config`.
type configCmd struct {
	Show  configShowCmd  `cmd:"" help:"Print the settings of serve and where each comes from."`
	Check configCheckCmd `cmd:"" help:"Say whether serve would take a config file, and touch nothing."`
}

// Help is an example of its commands.
func (configCmd) Help() string { return "Example:\n  rollcall config show --config rollcall.yaml" }

// configShowCmd is `rollcall config show`.
type configShowCmd struct {
	console.OutputFlag
}

// Help is the command's example.
func (configShowCmd) Help() string {
	return `Prints what serve would run with, from flags' defaults, the config file and the environment. Secrets are redacted.

Example:
  rollcall config show --config rollcall.yaml`
}

// Run prints the settings.
func (c *configShowCmd) Run(a *app) error {
	g := &console.Grid{Columns: []string{"name", "value", "from"}}
	for _, f := range a.serveFlags() {
		if f.Name == "help" || f.Name == "config" {
			continue
		}
		value, from, err := a.setting(f)
		if err != nil {
			return err
		}
		g.Add(f.Name, redactSetting(f.Name, value), from)
	}
	if a.file.path != "" {
		g.Add("config", a.file.path, "argument")
	}
	sources, err := a.sources(nil)
	if err != nil {
		return err
	}
	for _, s := range sources {
		g.Add("sources", sourceText(s), "file")
	}
	return c.Print(a.Stdout, g)
}

// serveFlags are those that serve takes.
func (a *app) serveFlags() []*kong.Flag {
	flags := a.parsed.Model.Flags
	for _, n := range a.parsed.Model.Children {
		if n.Name == "serve" {
			flags = slices.Concat(flags, n.Flags)
		}
	}
	return flags
}

// configCheckCmd is `rollcall config check`.
type configCheckCmd struct {
	File string `arg:"" help:"Config file (YAML)." type:"path"`
}

// Help is the command's example.
func (configCheckCmd) Help() string {
	return `Checks a config file, and the files that it names, as serve does with the environment of here. It makes and opens nothing.
The exit code is 2 where serve would refuse it.

Example:
  rollcall config check rollcall.yaml && systemctl reload rollcall`
}

// Run checks the file.
func (c *configCheckCmd) Run(a *app) error {
	serve := &app{IO: a.IO, args: []string{"serve", "--config", c.File}}
	grammar, err := serve.parse()
	if err == nil {
		_, err = grammar.Serve.config(serve)
	}
	if err != nil {
		a.file, a.args = serve.file, serve.args // where a wrong value comes from is looked for there
		return err
	}
	fmt.Fprintf(a.Stdout, "%s: valid\n", console.Printable(c.File))
	return nil
}

// sourceText is a source of the file in a line: as the flag has it, and what only
// the file can say.
func sourceText(s ingest.Source) string {
	text := fmt.Sprintf("%s=%s", s.Name, s.Scheme)
	if s.Key != "" {
		text += ":" + redactSetting("source", s.Key)
	}
	for _, list := range []struct {
		name   string
		values []string
	}{{"webhookIds", s.WebhookIDs}, {"organizationIds", s.OrganizationIDs}} {
		if len(list.values) > 0 {
			text += " " + list.name + "=" + strings.Join(list.values, ",")
		}
	}
	if s.RequireOrganization {
		text += " requireOrganization"
	}
	if s.PathToken != "" {
		text += " pathToken=redacted"
	}
	if s.PathTokenFile != "" {
		text += " pathTokenFile=" + s.PathTokenFile
	}
	if s.Rate > 0 {
		text += fmt.Sprintf(" rate=%v", s.Rate)
	}
	if s.Burst > 0 {
		text += fmt.Sprintf(" burst=%d", s.Burst)
	}
	if s.Tolerance > 0 {
		text += " tolerance=" + s.Tolerance.String()
	}
	return text
}

// setting is a flag's value as serve would get it.
func (a *app) setting(f *kong.Flag) (value, from string, err error) {
	if value, ok := a.Env(envName(f.Name)); ok {
		return value, "environment " + envName(f.Name), nil
	}
	value, ok, err := a.file.text(f.Name)
	if err != nil || ok {
		return value, "file", err
	}
	if f.Target.Kind() == reflect.Bool && f.Default == "" {
		return "false", "default", nil
	}
	return f.Default, "default", nil
}

// redactSetting hides what an address may hold: user, password, query.
func redactSetting(name, value string) string {
	if strings.Contains(name, "token") && !strings.HasSuffix(name, "-file") {
		return "redacted"
	}
	if strings.Contains(value, "://") {
		prefix, address := "", value
		if i := strings.Index(value, "://"); i >= 0 {
			if j := strings.LastIndexAny(value[:i], ":="); j >= 0 {
				prefix, address = value[:j+1], value[j+1:]
			}
		}
		return prefix + console.RedactURL(address)
	}
	return value
}
