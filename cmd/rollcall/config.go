package main

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/ingest"
)

const envPrefix = "ROLLCALL_"

// envName is the environment variable of a flag: ROLLCALL_ and its name.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fileConfig is the config file: YAML, keys are the flags' names.
type fileConfig struct {
	path string
	k    *koanf.Koanf
}

// configPath finds --config before the arguments are parsed, since the file
// decides what parsing gives.
func configPath(args []string, env func(string) (string, bool)) string {
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if value, ok := strings.CutPrefix(arg, "--config="); ok {
			return value
		}
		if arg == "--config" && i+1 < len(args) {
			return args[i+1]
		}
	}
	path, _ := env(envName("config"))
	return path
}

func loadConfig(path string) (*fileConfig, error) {
	c := &fileConfig{path: path, k: koanf.New("\x00")} // no path syntax in keys
	if path == "" {
		return c, nil
	}
	if err := c.k.Load(file.Provider(path), yaml.Parser()); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, console.Usagef("config file %s does not exist; check --config", path)
		}
		return nil, console.Usagef("read config file %s: %w", path, err)
	}
	return c, nil
}

// check refuses a key that is no flag of any command: silently ignoring a
// misspelt key would be worse than stopping.
func (c *fileConfig) check(model *kong.Application) error {
	known := []string{"sources"}
	var walk func(*kong.Node)
	walk = func(n *kong.Node) {
		for _, f := range n.Flags {
			known = append(known, f.Name)
		}
		for _, child := range n.Children {
			walk(child)
		}
	}
	walk(model.Node)
	for _, key := range c.k.Keys() {
		key, _, _ = strings.Cut(key, "\x00")
		if !slices.Contains(known, key) {
			return console.Usagef("config file %s: unknown key %q; keys are the flags' names without the dashes", c.path, key)
		}
	}
	return nil
}

// text is a value of the file as a flag would say it: lists joined by commas.
func (c *fileConfig) text(key string) (string, bool, error) {
	if !c.k.Exists(key) {
		return "", false, nil
	}
	switch v := c.k.Get(key).(type) {
	case nil:
		return "", false, nil
	case string:
		return v, true, nil
	case []any:
		parts := make([]string, len(v))
		for i, p := range v {
			if _, nested := p.(map[string]any); nested {
				return "", false, console.Usagef("config file %s: %q takes a list of texts", c.path, key)
			}
			parts[i] = fmt.Sprint(p)
		}
		return strings.Join(parts, ","), true, nil
	case map[string]any:
		return "", false, console.Usagef("config file %s: %q takes no mapping", c.path, key)
	default:
		return fmt.Sprint(v), true, nil
	}
}

// resolver gives flags that were not on the command line their value from the
// environment, else from the file.
func (a *app) resolver() kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		if flag.Name == "help" || flag.Name == "config" {
			return nil, nil
		}
		if value, ok := a.Env(envName(flag.Name)); ok {
			return value, nil
		}
		value, ok, err := a.file.text(flag.Name)
		if err != nil || !ok {
			return nil, err
		}
		return value, nil
	})
}

var flagInError = regexp.MustCompile(`--([a-z][a-z0-9-]+)`)

// origin says where the value that a usage error is about was set, where that is
// not the command line: the error speaks of a flag that nobody typed.
func (a *app) origin(err error) string {
	m := flagInError.FindStringSubmatch(err.Error())
	if console.ExitCode(err) != console.ExitUsage || m == nil || a.given(m[1]) {
		return ""
	}
	if _, ok := a.Env(envName(m[1])); ok {
		return " (" + envName(m[1]) + " in the environment sets it)"
	}
	if a.file != nil && a.file.k.Exists(m[1]) {
		return " (" + m[1] + " in config file " + console.Printable(a.file.path) + " sets it)"
	}
	return ""
}

// sources are those of the flags or the environment, else those of the file.
func (a *app) sources(flags []string) (all []ingest.Source, err error) {
	for _, text := range flags {
		s, err := ingest.ParseSource(text)
		if err != nil {
			return nil, console.Usagef("%w", err)
		}
		all = append(all, s)
	}
	if len(all) > 0 || !a.file.k.Exists("sources") {
		return all, nil
	}
	list, ok := a.file.k.Get("sources").([]any)
	if !ok {
		return nil, console.Usagef("config file %s: sources is no list; want sources: [{name: prod, scheme: rsa, key: public.pem}]", a.file.path)
	}
	for i, item := range list {
		s, err := a.file.source(item)
		if err != nil {
			return nil, console.Usagef("config file %s: source %d: %w", a.file.path, i+1, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// source reads a source of the file: a mapping, or the text that the flag takes.
func (c *fileConfig) source(item any) (s ingest.Source, err error) {
	members, ok := item.(map[string]any)
	if !ok {
		return ingest.ParseSource(fmt.Sprint(item))
	}
	for key, value := range members {
		switch key {
		case "name":
			s.Name = fmt.Sprint(value)
		case "scheme":
			s.Scheme = ingest.Scheme(fmt.Sprint(value))
		case "key":
			s.Key = fmt.Sprint(value)
		case "webhookIds":
			s.WebhookIDs, err = texts(value)
		case "organizationIds":
			s.OrganizationIDs, err = texts(value)
		case "requireOrganization":
			s.RequireOrganization, err = truth(value)
		case "pathToken":
			s.PathToken = fmt.Sprint(value)
		case "pathTokenFile":
			s.PathTokenFile = fmt.Sprint(value)
		case "rate":
			s.Rate, err = number(value)
		case "burst":
			var burst float64
			burst, err = number(value)
			s.Burst = int(burst)
		case "tolerance":
			s.Tolerance, err = time.ParseDuration(fmt.Sprint(value))
		default:
			err = errors.New("unknown member; docs/OPERATIONS.md lists those of a source")
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", key, err)
		}
	}
	return s, s.Validate()
}

func texts(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, errors.New("want a list of texts")
	}
	out := make([]string, len(list))
	for i, item := range list {
		out[i] = fmt.Sprint(item)
	}
	return out, nil
}

func truth(v any) (bool, error) {
	b, ok := v.(bool)
	if !ok {
		return false, errors.New("want true or false")
	}
	return b, nil
}

func number(v any) (float64, error) {
	switch n := v.(type) {
	case int:
		return float64(n), nil
	case float64:
		return n, nil
	}
	return 0, errors.New("want a number")
}
