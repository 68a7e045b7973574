package attach

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// TestAuthOptions: what the flags say of who we are comes to NATS, and flags that
// can't be used say why.
func TestAuthOptions(t *testing.T) {
	t.Parallel()
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct {
		auth Auth
		want string
	}{
		{Auth{NATSCreds: missing}, "--nats-creds"},
		{Auth{NATSNKey: missing}, "--nats-nkey"},
		{Auth{NATSNKey: file("seed", "no seed")}, "read --nats-nkey: "},
		{Auth{NATSLogin: missing}, "--nats-login-file"},
		{Auth{NATSLogin: file("login", "user password\n")}, "want user:password on the first line of"},
		{Auth{NATSCA: missing}, "--nats-tls-ca"},
		{Auth{NATSCert: file("cert", "x")}, "--nats-tls-cert and --nats-tls-key belong together"},
		{Auth{NATSKey: file("key", "x")}, "--nats-tls-cert and --nats-tls-key belong together"},
	} {
		if opts, err := c.auth.Options(); err == nil || opts != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Options() of %+v = %d options, %v; want an error that says %q", c.auth, len(opts), err, c.want)
		}
	}
	opts, err := Auth{NATSLogin: file("login", " somebody:a:password \nmore\n")}.Options()
	if err != nil {
		t.Fatal(err)
	}
	var o nats.Options
	for _, set := range opts {
		if err := set(&o); err != nil {
			t.Fatal(err)
		}
	}
	if o.User != "somebody" || o.Password != "a:password" {
		t.Errorf("Options() of a login file = %q, %q; want somebody, a:password", o.User, o.Password)
	}
	if opts, err := (Auth{}).Options(); err != nil || len(opts) != 0 {
		t.Errorf("Options() without flags = %d options, %v; want none", len(opts), err)
	}
	if opts, err := (Auth{NATSCert: file("cert", "x"), NATSKey: file("key", "x")}).Options(); err != nil || len(opts) != 1 {
		t.Errorf("Options() of a certificate and its key = %d options, %v; want 1", len(opts), err)
	}
}
