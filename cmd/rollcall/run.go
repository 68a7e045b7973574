package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"rollcall/cmd/rollcall/internal/console"
)

// app is what every command gets: the outside world, and what was said on the
// command line and in the config file.
type app struct {
	*console.IO
	args   []string
	parsed *kong.Context
	file   *fileConfig
	level  *console.Level // of the log
}

// stopParsing is how kong's exit hook leaves the parser after --help.
type stopParsing int

// run is the whole program. It returns the exit code, and never calls os.Exit.
func run(ctx context.Context, args []string, env func(string) (string, bool), stdin io.Reader, stdout, stderr io.Writer) (code int) {
	a := &app{IO: &console.IO{Ctx: ctx, Env: env, Stdin: stdin, Stdout: stdout, Stderr: stderr}, args: args}
	defer func() {
		switch stopped := recover().(type) {
		case nil:
		case stopParsing:
			code = int(stopped)
		default:
			panic(stopped) // a bug: not to be taken for "done"
		}
	}()
	err := a.Patiently(a.run)
	if err == nil {
		return console.ExitDone
	}
	if code, ok := a.Interrupted(err); ok {
		return code
	}
	fmt.Fprintln(stderr, "rollcall: "+console.OneLine(err)+a.origin(err))
	return console.ExitCode(err)
}

func (a *app) run() error {
	if len(a.args) == 0 {
		a.args = []string{"--help"}
	}
	grammar, err := a.parse()
	if err != nil {
		return err
	}
	a.Logger, a.level, err = grammar.Log.Logger(a.Stderr)
	if err != nil {
		return err
	}
	return a.parsed.Run(a)
}

// parse reads the config file and the arguments.
func (a *app) parse() (*cli, error) {
	file, err := loadConfig(configPath(a.args, a.Env))
	if err != nil {
		return nil, err
	}
	a.file = file
	grammar := &cli{}
	parser, err := newParser(grammar, a)
	if err != nil {
		return nil, err
	}
	if err := file.check(parser.Model); err != nil {
		return nil, err
	}
	a.parsed, err = parser.Parse(a.args)
	if err != nil {
		ask, between := meant(parser.Model.Node, a.args, err), "; "
		if ask != "" {
			ask = "; " + ask
		}
		if strings.HasSuffix(err.Error()+ask, "?") { // kong has asked, or we have
			between = " "
		}
		return nil, console.Usagef("%w%s%s%s", err, ask, between, remedyOf(a.args))
	}
	return grammar, nil
}

// remedyOf is what to do about arguments that can't be read.
func remedyOf(args []string) string {
	toNATS := func(arg string) bool { return arg == "--nats-url" || strings.HasPrefix(arg, "--nats-url=") }
	if slices.Contains(args, "report") && slices.ContainsFunc(args, toNATS) {
		return "reports ask the read API, not NATS: name it with --api-url"
	}
	return "`rollcall --help` lists what there is"
}

// given reports whether a flag stands on the command line.
func (a *app) given(flag string) bool {
	return slices.ContainsFunc(a.args, func(arg string) bool { return arg == "--"+flag || strings.HasPrefix(arg, "--"+flag+"=") })
}

func newParser(grammar *cli, a *app) (*kong.Kong, error) {
	return kong.New(grammar,
		kong.Name("rollcall"),
		kong.Description("Rollcall keeps the webhooks of a video-meeting provider in a durable log and folds them into views:  "+
			"live and ended sessions, attendance, recordings, usage.\n\nExample:\n  rollcall demo"),
		kong.Writers(a.Stdout, a.Stderr),
		kong.Exit(func(code int) { panic(stopParsing(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100, NoExpandSubcommands: true}),
		kong.ValueFormatter(helpText),
		kong.Resolvers(a.resolver()),
		kong.UsageOnError(),
	)
}

// helpText is a flag's help with its default, where that says something.
func helpText(v *kong.Value) string {
	switch v.Default {
	case "", "0", "false":
		return v.Help
	}
	return strings.TrimSuffix(v.Help, ".") + " (default: " + v.Default + ")."
}
