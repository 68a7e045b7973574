package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// localUser is an operator of the embedded server whose password is made at
// each start and left in a file that only the user who runs the server can
// read. So that user's own commands (rebuild, parked retry, import) work on this
// machine without preparing anything, and nobody else's do.
const localUser = "local-operator"

// localDir is where the files lie, one a server.
func localDir() (string, error) {
	if dir, err := os.UserCacheDir(); err == nil {
		if err := os.MkdirAll(filepath.Join(dir, "rollcall"), 0o700); err == nil {
			return filepath.Join(dir, "rollcall"), nil
		}
	}
	// No home, as of a service: a directory that must be ours alone.
	dir := filepath.Join(os.TempDir(), "rollcall-"+strconv.Itoa(os.Getuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !ours(info) {
		return "", fmt.Errorf("%s is not a directory of ours alone", dir)
	}
	return dir, nil
}

// localFile is the file for the server that address names: by its port, since
// this machine has many names.
func localFile(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		host, port = u.Host, "4222"
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback() && !ip.IsUnspecified()) {
		return "", errors.New("not on this machine")
	}
	dir, err := localDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "nats-"+port+".login"), nil
}

// writeLocalLogin leaves the operator's login for commands of the same user.
func writeLocalLogin(address, password string) (remove func() error, err error) {
	path, err := localFile(address)
	if err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".login-*") // 0600
	if err != nil {
		return nil, err
	}
	_, err = tmp.WriteString(localUser + ":" + password + "\n")
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(tmp.Name()))
	}
	return func() error {
		b, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(b), password) {
			return nil // another server has the port by now
		}
		return os.Remove(path)
	}, nil
}

// operatorFlags are clientFlags of commands that change something.
type operatorFlags struct{ clientFlags }

// connectOperator connects with the rights to write views: those of the flags,
// else the login that a server of this user on this machine has left.
func (f operatorFlags) connectOperator(ctx context.Context) (*nats.Conn, jetstream.JetStream, error) {
	named := f.natsAuth
	named.NATSCA = "" // says who the server is, not who we are
	if named != (natsAuth{}) {
		return f.connect(ctx)
	}
	path, err := localFile(f.NATSURL)
	if err != nil {
		return f.connect(ctx)
	}
	if _, err := os.Stat(path); err != nil {
		return f.connect(ctx)
	}
	local := f.clientFlags
	local.NATSLogin = path
	nc, js, err := local.connect(ctx)
	if errors.Is(err, nats.ErrAuthorization) {
		return f.connect(ctx) // left behind by a server that was killed
	}
	return nc, js, err
}

// needRights explains what a client that may only read sees of a refusal.
func needRights(err error, nc *nats.Conn) error {
	if err == nil || !errors.Is(nc.LastError(), nats.ErrPermissionViolation) {
		return err
	}
	return fmt.Errorf("this needs the rights of an operator: run it as the user who runs the server, or name a user with --nats-login-file, --nats-creds or --nats-nkey: %w", err)
}
