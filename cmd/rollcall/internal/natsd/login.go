package natsd

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// LoginFile is the file for the server that address names: by its port, since
// this machine has many names.
func LoginFile(address string) (string, error) {
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

// LeaveLogin leaves the operator's login for commands of the same user, until
// remove is called.
func (e *Server) LeaveLogin() (remove func() error, err error) {
	path, err := LoginFile(e.URL())
	if err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".login-*") // 0600
	if err != nil {
		return nil, err
	}
	_, err = tmp.WriteString(localUser + ":" + e.local + "\n")
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(tmp.Name()))
	}
	return func() error {
		b, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(b), e.local) {
			return nil // another server has the port by now
		}
		return os.Remove(path)
	}, nil
}
