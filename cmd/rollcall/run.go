package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// app is what every command gets: the outside world, passed in so that tests
// run commands in their own process.
type app struct {
	ctx    context.Context
	args   []string
	env    func(string) (string, bool)
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	log    zerolog.Logger
	parsed *kong.Context
	file   *fileConfig
	// patience is how long the command waits for what the server refuses; 0:
	// giveUpAfter.
	patience time.Duration
}

// stopParsing is how kong's exit hook leaves the parser after --help.
type stopParsing int

// run is the whole program. It returns the exit code, and never calls os.Exit.
func run(ctx context.Context, args []string, env func(string) (string, bool), stdin io.Reader, stdout, stderr io.Writer) (code int) {
	a := &app{ctx: ctx, args: args, env: env, stdin: stdin, stdout: stdout, stderr: stderr}
	defer func() {
		switch stopped := recover().(type) {
		case nil:
		case stopParsing:
			code = int(stopped)
		default:
			panic(stopped) // a bug: not to be taken for "done"
		}
	}()
	err := a.patiently(a.run)
	if err == nil {
		return exitDone
	}
	if code, ok := a.interrupted(err); ok {
		return code
	}
	fmt.Fprintln(stderr, "rollcall: "+oneLine(err))
	return exitCode(err)
}

func (a *app) run() error {
	var grammar cli
	if len(a.args) == 0 {
		a.args = []string{"--help"}
	}
	file, err := loadConfig(configPath(a.args, a.env))
	if err != nil {
		return err
	}
	a.file = file
	parser, err := newParser(&grammar, a)
	if err != nil {
		return err
	}
	if err := file.check(parser.Model); err != nil {
		return err
	}
	a.parsed, err = parser.Parse(a.args)
	if err != nil {
		return usagef("%w; `rollcall --help` lists what there is", err)
	}
	a.log, err = grammar.Log.logger(a.stderr)
	if err != nil {
		return err
	}
	return a.parsed.Run(a)
}

// given reports whether a flag stands on the command line.
func (a *app) given(flag string) bool {
	return slices.ContainsFunc(a.args, func(arg string) bool { return arg == "--"+flag || strings.HasPrefix(arg, "--"+flag+"=") })
}

func newParser(grammar *cli, a *app) (*kong.Kong, error) {
	return kong.New(grammar,
		kong.Name("rollcall"),
		kong.Description("Rollcall keeps what a provider of video meetings tells by webhook in a durable log, and folds it into views: "+
			"live and ended sessions, attendance, recordings, usage.\n\nExample:\n  rollcall demo"),
		kong.Writers(a.stdout, a.stderr),
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

// logFlags choose what goes to stderr.
type logFlags struct {
	LogLevel  string `help:"Least level that is logged: debug, info, warn, error." default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL"`
	LogFormat string `help:"Form of the log on stderr: auto (console on a terminal, else json), json, console." default:"auto" enum:"auto,json,console" placeholder:"FORM"`
}

func (f logFlags) logger(w io.Writer) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(f.LogLevel)
	if err != nil {
		return zerolog.Logger{}, usagef("read --log-level: %w", err)
	}
	out := w
	if f.LogFormat == "console" || f.LogFormat == "auto" && isTerminal(w) {
		out = zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000", NoColor: noColor(w)}
	}
	return zerolog.New(zerolog.SyncWriter(out)).Level(level).Hook(stamp{}), nil
}

// stamp puts the time into each line, in UTC with milliseconds.
type stamp struct{}

// Run implements zerolog.Hook.
func (stamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"))
}

// isTerminal reports whether w is a terminal that takes control sequences.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb"
}

func noColor(w io.Writer) bool {
	_, set := os.LookupEnv("NO_COLOR")
	return set || !isTerminal(w)
}
