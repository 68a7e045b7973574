package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"syscall"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/provider"
)

// postFlags say where deliveries go and how they are signed.
type postFlags struct {
	URL string `help:"Address of the ingester: http://HOST:PORT/webhooks/SOURCE." default:"http://127.0.0.1:8080/webhooks/demo" placeholder:"URL"`
	Key string `help:"Private key (PEM) to sign with; without it the deliveries are not signed." type:"path" placeholder:"FILE"`
}

func (f postFlags) poster(connections int) (*provider.Poster, error) {
	if f.Key == "" {
		return provider.NewPoster(f.URL, nil, connections)
	}
	s, err := provider.ReadKey(f.Key)
	if err != nil {
		return nil, err
	}
	return provider.NewPoster(f.URL, &s, connections)
}

// sendCmd is `rollcall send`.
type sendCmd struct {
	postFlags
	console.OutputFlag
	Files     []string `arg:"" help:"Files with one body each; - is stdin." name:"file"`
	Provider  string   `help:"Family of the header names: dyte or rtk." default:"rtk" enum:"dyte,rtk" placeholder:"NAME"`
	UUID      string   `name:"uuid" help:"Delivery uuid; with several files the same for each. Default: a new one each." placeholder:"UUID"`
	NoUUID    bool     `name:"no-uuid" help:"Send no delivery uuid."`
	WebhookID string   `help:"Value of the webhook id header." placeholder:"ID"`
}

// Help is the command's example.
func (sendCmd) Help() string {
	return `Posts files as webhook deliveries, signed and byte for byte, and prints the records they became.

Example:
  rollcall send --key keys/private.pem --url http://127.0.0.1:8080/webhooks/test started.json ended.json`
}

// Run posts the files in order, and stops at the first that is refused.
func (c *sendCmd) Run(a *app) error {
	p, err := c.poster(1)
	if err != nil {
		return err
	}
	defer p.Close()
	bodies := make([][]byte, len(c.Files))
	for i, name := range c.Files { // all are read before the first is sent
		if bodies[i], err = a.readBody(name); err != nil {
			return a.Left(err, "nothing was sent")
		}
	}
	g := &console.Grid{Columns: []string{"file", "sequence", "eventId", "duplicate"}, Whole: []string{"sequence", "eventId"}}
	for i, name := range c.Files {
		r, err := p.Post(a.Ctx, c.Provider, c.headers(), bodies[i])
		if err != nil {
			if len(g.Rows) > 0 {
				_ = c.Print(a.Stdout, g) // what was stored is worth knowing
			}
			return a.Left(fmt.Errorf("send %s: %w", name, hint(err, c.URL)), "%d of %d files were stored; whether %s was is not known: send it again with --uuid, or look at `rollcall events`", i, len(c.Files), name)
		}
		g.Add(name, r.Sequence, r.EventID, r.Duplicate)
	}
	return c.Print(a.Stdout, g)
}

func (c *sendCmd) headers() [][2]string {
	h := [][2]string{{"Content-Type", "application/json"}}
	switch {
	case c.UUID != "":
		h = append(h, [2]string{c.Provider + "-uuid", c.UUID})
	case !c.NoUUID:
		h = append(h, [2]string{c.Provider + "-uuid", newUUID()})
	}
	if c.WebhookID != "" {
		h = append(h, [2]string{c.Provider + "-webhook-id", c.WebhookID})
	}
	return h
}

func (a *app) readBody(name string) ([]byte, error) {
	if name != "-" {
		return console.ReadFileRaw(name)
	}
	b, err := io.ReadAll(io.LimitReader(a.Input(), 16<<20))
	if err != nil {
		return nil, fmt.Errorf("read stdin: %w", err)
	}
	return b, nil
}

// newUUID is a random version 4 UUID.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// hint adds the next step to an error of posting.
func hint(err error, address string) error {
	host := address
	if u, perr := url.Parse(address); perr == nil {
		host = u.Host
	}
	refused := (*provider.RefusedError)(nil)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens on %s: start `rollcall serve`, or name the ingester with --url", host)
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound:
		return fmt.Errorf("%w; the last part of --url names a source of the server", err)
	case errors.As(err, &refused) && refused.Status == http.StatusUnauthorized:
		return fmt.Errorf("%w; --key must be the private half of the source's key", err)
	}
	return err
}
