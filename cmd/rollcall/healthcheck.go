package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"rollcall/cmd/rollcall/internal/console"
)

// healthcheckCmd is `rollcall healthcheck`: for container runtimes and scripts,
// which have no other program in the image to ask with.
type healthcheckCmd struct {
	AdminAddr string        `help:"Address that serve was given; an address of all interfaces is asked on loopback." default:"127.0.0.1:8082" placeholder:"HOST:PORT"`
	AdminCert string        `name:"admin-tls-cert" help:"Certificate (PEM) that serve was given for it: the answer must come with that one." type:"path" placeholder:"FILE"`
	Timeout   time.Duration `help:"How long to wait for the answer." default:"3s" placeholder:"DURATION"`
}

// Help is the command's example.
func (healthcheckCmd) Help() string {
	return `Asks /readyz of a running process: exit code 0 where it is ready, 1 with the reasons where it is not or does not answer.
The address comes from the same flag, variable and config key as that of serve.

Example:
  rollcall healthcheck --admin-addr 127.0.0.1:8082`
}

// Run asks once.
func (c *healthcheckCmd) Run(a *app) error {
	address, err := dialable(c.AdminAddr)
	if err != nil {
		return err
	}
	if c.Timeout <= 0 {
		return console.Usagef("--timeout %v: want a duration above 0, like 3s", c.Timeout)
	}
	scheme, transport, err := c.transport()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.Ctx, c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+"/readyz", nil)
	if err != nil {
		return console.Usagef("--admin-addr %q: %w", c.AdminAddr, err)
	}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("ask for health: %v; is rollcall serve running with --admin-addr %s?", err, c.AdminAddr) //nolint:errorlint // a timeout here is no NATS server that can't be reached: exit code 1
	}
	defer answer.Body.Close()
	reasons, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("read health: %v", err) //nolint:errorlint // the same
	}
	fmt.Fprint(a.Stdout, string(reasons))
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s; the lines above say why", answer.Status)
	}
	return nil
}

// dialable is an address to listen on as one to connect to.
func dialable(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", console.Usagef("--admin-addr %q: %w; want HOST:PORT", address, err)
	}
	if port == "0" || port == "" {
		return "", console.Usagef("--admin-addr %q: port 0 is another one at each start; the file of --ready-file names it", address)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port), nil
}

// transport trusts the server's own certificate and nothing else: the name that
// it is asked by here is none of the certificate's.
func (c *healthcheckCmd) transport() (scheme string, t *http.Transport, err error) {
	if c.AdminCert == "" {
		return "http", &http.Transport{}, nil
	}
	text, err := console.ReadSmallFile("--admin-tls-cert", c.AdminCert)
	if err != nil {
		return "", nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return "", nil, console.Usagef("read --admin-tls-cert: %s holds no PEM block", c.AdminCert)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", nil, console.Usagef("read --admin-tls-cert: %w", err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(cert)
	return "https", &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, ServerName: certName(cert), MinVersion: tls.VersionTLS12}}, nil
}

// certName is a name that a certificate is for.
func certName(cert *x509.Certificate) string {
	switch {
	case len(cert.DNSNames) > 0:
		return strings.Replace(cert.DNSNames[0], "*", "healthcheck", 1)
	case len(cert.IPAddresses) > 0:
		return cert.IPAddresses[0].String()
	}
	return cert.Subject.CommonName
}
