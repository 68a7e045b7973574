package console

import (
	"io"
	"os"
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

// Logger writes to w in the form that the flags choose.
func (f LogFlags) Logger(w io.Writer) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(f.LogLevel)
	if err != nil {
		return zerolog.Logger{}, Usagef("read --log-level: %w", err)
	}
	out := w
	if f.LogFormat == "console" || f.LogFormat == "auto" && IsTerminal(w) {
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

// IsTerminal reports whether w is a terminal that takes control sequences.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb"
}

func noColor(w io.Writer) bool {
	_, set := os.LookupEnv("NO_COLOR")
	return set || !IsTerminal(w)
}
