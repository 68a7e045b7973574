package attach

import (
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/natsd"
)

// WhichLog says which log a command works on: a running server's, or that of a
// data directory nobody runs on.
type WhichLog struct {
	DataDir string `help:"Data directory of a rollcall that does not run." type:"path" placeholder:"DIR"`
	NATSURL string `name:"nats-url" help:"NATS server of the running rollcall." placeholder:"URL"`
	Auth
}

// Open connects to the log's server, that of otherwise where none is named. dir is the
// data directory that it works on, "" where a server runs. closeAll ends what was opened.
func (f WhichLog) Open(a *console.IO, otherwise WhichLog) (js jetstream.JetStream, dir string, closeAll func() error, err error) {
	if f.DataDir != "" && f.NATSURL != "" {
		return nil, "", nil, console.Usagef("--data-dir and --nats-url can't be used together: name the directory of a stopped server, or a running server")
	}
	if f.DataDir == "" && f.NATSURL == "" {
		f.DataDir, f.NATSURL = otherwise.DataDir, otherwise.NATSURL
	}
	var nc *nats.Conn
	if f.NATSURL != "" {
		client := OperatorFlags{ClientFlags{NATSURL: f.NATSURL, Auth: f.Auth}}
		if nc, js, err = client.ConnectOperator(a.Ctx); err != nil {
			return nil, "", nil, err
		}
		return js, "", func() error { nc.Close(); return nil }, nil
	}
	// The directory's own is made by an import only: a mistyped one must not become an empty server.
	if _, err := os.Stat(f.DataDir); otherwise.DataDir == "" && errors.Is(err, os.ErrNotExist) {
		return nil, "", nil, console.NotFoundf("no data directory %s; check --data-dir", f.DataDir)
	}
	e, err := natsd.Start(a.Ctx, natsd.Config{Dir: f.DataDir, Logger: a.Logger})
	if err != nil {
		return nil, "", nil, fmt.Errorf("%w; --nats-url works on the log of a server that runs", err)
	}
	if nc, err = e.Connect(nats.Name("rollcall-cli")); err == nil {
		js, err = jetstream.New(nc)
	}
	if err != nil {
		return nil, "", nil, errors.Join(err, e.Stop())
	}
	closeAll = func() error { nc.Close(); return e.Stop() }
	if err := natsd.CheckImported(f.DataDir); err != nil && otherwise.DataDir == "" {
		return nil, "", nil, errors.Join(err, closeAll())
	}
	return js, f.DataDir, closeAll, nil
}

// Attach opens a log that is there, by default that of the local server. The
// caller closes it.
func (f WhichLog) Attach(a *console.IO) (*Attached, error) {
	js, _, closeAll, err := f.Open(a, WhichLog{NATSURL: nats.DefaultURL})
	if err != nil {
		return nil, err
	}
	return attachTo(a.Ctx, js.Conn(), js, closeAll)
}
