package console

import (
	"context"
	"io"
	"time"

	"github.com/rs/zerolog"
)

// IO is the outside world of a command, passed in so that tests run commands
// in their own process. ctx is the command's: a signal ends it.
type IO struct {
	Ctx    context.Context
	Env    func(string) (string, bool)
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Logger zerolog.Logger
	// patience is how long the command waits for what the server refuses; 0:
	// giveUpAfter.
	Patience time.Duration
}
