package console

import (
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// Keys of log lines that several rooms write.
const (
	KeyPart     = "part"
	KeyView     = "view"
	KeyStream   = "stream"
	KeySequence = "sequence"
	KeyElapsed  = "elapsed_ms"
)

// LogFlags choose what goes to stderr.
type LogFlags struct {
	LogLevel  string `help:"Minimum log level: debug, info, warn, error." default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL"`
	LogFormat string `help:"Format of the log on stderr: auto (console on a terminal, else json), json, console." default:"auto" enum:"auto,json,console" placeholder:"FORM"`
}

// Logger writes to w in the form that the flags choose, what the level lets through.
func (f LogFlags) Logger(w io.Writer) (zerolog.Logger, *Level, error) {
	level := &Level{}
	if err := level.Set(f.LogLevel); err != nil {
		return zerolog.Logger{}, nil, err
	}
	out := w
	if f.LogFormat == "console" || f.LogFormat == "auto" && IsTerminal(w) {
		out = zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000", NoColor: noColor(w)}
	}
	level.out = zerolog.SyncWriter(out)
	return zerolog.New(level).Sample(level).Hook(stamp{}), level, nil
}

// Level is the least level of the lines of a logger and of all that were made of it.
// It can be set while they are used.
type Level struct {
	least atomic.Int32
	out   io.Writer
}

// Set takes a level as --log-level has it.
func (l *Level) Set(text string) error {
	level, err := zerolog.ParseLevel(text)
	if err != nil {
		return Usagef("read --log-level: %w", err)
	}
	l.least.Store(int32(level))
	return nil
}

// Least is the level that is set.
func (l *Level) Least() zerolog.Level { return zerolog.Level(l.least.Load()) }

// Sample implements zerolog.Sampler: a line that nobody wants costs nothing.
func (l *Level) Sample(level zerolog.Level) bool { return level >= l.Least() }

// Write implements io.Writer.
func (l *Level) Write(b []byte) (int, error) { return l.out.Write(b) }

// WriteLevel implements zerolog.LevelWriter, for loggers with a sampler of their own.
func (l *Level) WriteLevel(level zerolog.Level, b []byte) (int, error) {
	if !l.Sample(level) {
		return len(b), nil
	}
	return l.out.Write(b)
}

// stamp puts the time into each line, in UTC with milliseconds.
type stamp struct{}

// Run implements zerolog.Hook.
func (stamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"))
}

// IsTerminal reports whether w is a terminal that takes control sequences.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb"
}

func noColor(w io.Writer) bool {
	_, set := os.LookupEnv("NO_COLOR")
	return set || !IsTerminal(w)
}
