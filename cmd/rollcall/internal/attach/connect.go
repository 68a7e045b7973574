package attach

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/natsd"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/projections"
	"rollcall/projector/viewstore"
)

// Auth holds the credentials for an external NATS server. Secrets come from
// files, never from the command line, where every process can read them.
type Auth struct {
	NATSCreds string `name:"nats-creds" help:"Credentials file of NATS." type:"path" placeholder:"FILE"`
	NATSNKey  string `name:"nats-nkey" help:"File with an NKey seed of NATS." type:"path" placeholder:"FILE"`
	NATSLogin string `name:"nats-login-file" help:"File with user:password of NATS on its first line." type:"path" placeholder:"FILE"`
	NATSCA    string `name:"nats-tls-ca" help:"CA certificates (PEM) that NATS' certificate is checked against." type:"path" placeholder:"FILE"`
	NATSCert  string `name:"nats-tls-cert" help:"Client certificate (PEM) for NATS. For serve without --nats-url: the certificate of --nats-listen." type:"path" placeholder:"FILE"`
	NATSKey   string `name:"nats-tls-key" help:"Private key (PEM) of --nats-tls-cert." type:"path" placeholder:"FILE"`
}

// Options are the connection options for a.
func (a Auth) Options() (opts []nats.Option, err error) {
	for _, f := range []struct{ flag, path string }{
		{"nats-creds", a.NATSCreds}, {"nats-nkey", a.NATSNKey}, {"nats-login-file", a.NATSLogin},
		{"nats-tls-ca", a.NATSCA}, {"nats-tls-cert", a.NATSCert}, {"nats-tls-key", a.NATSKey},
	} {
		if f.path == "" {
			continue
		}
		if _, err := console.ReadSmallFile("--"+f.flag, f.path); err != nil {
			return nil, err
		}
	}
	if a.NATSCreds != "" {
		opts = append(opts, nats.UserCredentials(a.NATSCreds))
	}
	if a.NATSNKey != "" {
		o, err := nats.NkeyOptionFromSeed(a.NATSNKey)
		if err != nil {
			return nil, console.Usagef("read --nats-nkey: %w", err)
		}
		opts = append(opts, o)
	}
	if a.NATSLogin != "" {
		b, err := os.ReadFile(a.NATSLogin)
		if err != nil {
			return nil, console.Usagef("read --nats-login-file: %w", err)
		}
		line, _, _ := strings.Cut(string(b), "\n")
		user, password, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			return nil, console.Usagef("read --nats-login-file: want user:password on the first line of %s", a.NATSLogin)
		}
		opts = append(opts, nats.UserInfo(user, password))
	}
	if a.NATSCA != "" {
		opts = append(opts, nats.RootCAs(a.NATSCA))
	}
	if (a.NATSCert == "") != (a.NATSKey == "") {
		return nil, console.Usagef("--nats-tls-cert and --nats-tls-key belong together")
	}
	if a.NATSCert != "" {
		opts = append(opts, nats.ClientCert(a.NATSCert, a.NATSKey))
	}
	return opts, nil
}

// ClientFlags say how a command finds the server that it asks.
type ClientFlags struct {
	NATSURL string `name:"nats-url" help:"NATS server of the running rollcall." default:"nats://127.0.0.1:4222" placeholder:"URL"`
	Auth
}

// Connect is for commands that end: a server that is not there is an error at
// once. close ends the connection.
func (f ClientFlags) Connect(ctx context.Context) (nc *nats.Conn, js jetstream.JetStream, err error) {
	opts, err := f.Options()
	if err != nil {
		return nil, nil, err
	}
	return Dial(ctx, f.NATSURL, append(opts, nats.Name("rollcall-cli"), nats.MaxReconnects(-1),
		// The request that fails reports what went wrong, in one line.
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
}

// OperatorFlags are ClientFlags of commands that change something.
type OperatorFlags struct{ ClientFlags }

// ConnectOperator connects with the rights to write views: those of the flags,
// else the login that a server of the same user left on this machine.
func (f OperatorFlags) ConnectOperator(ctx context.Context) (*nats.Conn, jetstream.JetStream, error) {
	named := f.Auth
	named.NATSCA = "" // identifies the server, not the client
	if named != (Auth{}) {
		return f.Connect(ctx)
	}
	path, err := natsd.LoginFile(f.NATSURL)
	if err != nil {
		return f.Connect(ctx)
	}
	if _, err := os.Stat(path); err != nil {
		return f.Connect(ctx)
	}
	local := f.ClientFlags
	local.NATSLogin = path
	nc, js, err := local.Connect(ctx)
	if errors.Is(err, nats.ErrAuthorization) {
		return f.Connect(ctx) // left behind by a server that was killed
	}
	return nc, js, err
}

// NeedRights explains what a client that may only read sees of a refusal.
func NeedRights(err error, nc *nats.Conn) error {
	if err == nil || !errors.Is(nc.LastError(), nats.ErrPermissionViolation) {
		return err
	}
	return fmt.Errorf("this needs the rights of an operator: run it as the user who runs the server, or name a user with --nats-login-file, --nats-creds or --nats-nkey: %w", err)
}

// Attached is a log that a command reads, and the connection to its server.
type Attached struct {
	Conn      *nats.Conn
	JetStream jetstream.JetStream
	Log       *natslog.Log
	end       func() error
}

// attachTo is the log of a server; end is called when it is closed.
func attachTo(ctx context.Context, conn *nats.Conn, js jetstream.JetStream, end func() error) (*Attached, error) {
	log, err := OpenLog(ctx, js)
	if err != nil {
		return nil, errors.Join(err, end())
	}
	return &Attached{conn, js, log, end}, nil
}

// OpenLog opens the log that is there.
func OpenLog(ctx context.Context, js jetstream.JetStream) (*natslog.Log, error) {
	log, err := natslog.Attach(ctx, js)
	if errors.Is(err, eventlog.ErrNoLog) {
		return nil, console.NotFoundf("the server has no log yet; a process with --target=ingest makes it")
	}
	return log, err
}

// Close closes what was opened.
func (l *Attached) Close() error {
	l.Log.Close()
	return l.end()
}

// Attach opens the log of a running server. The caller closes it.
func (f ClientFlags) Attach(ctx context.Context) (*Attached, error) {
	nc, js, err := f.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return attachTo(ctx, nc, js, func() error { nc.Close(); return nil })
}

// Attach opens the log of a running server, with the rights of an operator.
func (f OperatorFlags) Attach(ctx context.Context) (*Attached, error) {
	nc, js, err := f.ConnectOperator(ctx)
	if err != nil {
		return nil, err
	}
	return attachTo(ctx, nc, js, func() error { nc.Close(); return nil })
}

// Dial connects and says in one line what to do where that fails.
func Dial(ctx context.Context, address string, opts ...nats.Option) (*nats.Conn, jetstream.JetStream, error) {
	nc, err := nats.Connect(address, append(opts, nats.Timeout(3*time.Second))...)
	if err != nil {
		return nil, nil, natsError(address, err)
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(5*time.Second))
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("use JetStream: %w", err)
	}
	if ctx.Err() != nil {
		nc.Close()
		return nil, nil, ctx.Err()
	}
	return nc, js, nil
}

func natsError(address string, err error) error {
	where := console.RedactURL(address)
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return console.Unreachablef("NATS at %s refused the connection: %w; name a user with --nats-creds, --nats-nkey or --nats-login-file", where, err)
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, syscall.ECONNREFUSED):
		return console.Unreachablef("no NATS server at %s; start `rollcall serve`, or name another with --nats-url", where)
	}
	return console.Unreachablef("connect to NATS at %s: %w; check --nats-url and the TLS flags", where, err)
}

// ExistingViews are the views that a projector has made; it is an error if there
// are none.
func ExistingViews(ctx context.Context, r *viewstore.Reader) (views []string, err error) {
	for _, fold := range projections.All() {
		view := fold.Name()
		_, err := r.Alias(ctx, view)
		if errors.Is(err, viewstore.ErrNoView) {
			continue
		}
		if err != nil {
			return nil, err
		}
		views = append(views, view)
	}
	if len(views) == 0 {
		return nil, console.NotFoundf("there is no view yet; a process with --target=project makes them")
	}
	return views, nil
}
