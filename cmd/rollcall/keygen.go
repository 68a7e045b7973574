package main

import (
	"fmt"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/provider"
)

// keygenCmd is `rollcall keygen`.
type keygenCmd struct {
	console.OutputFlag
	Dir   string `arg:"" optional:"" help:"Directory for private.pem and public.pem." default:"." type:"path"`
	Force bool   `help:"Write over files that exist."`
}

// Help is the command's example.
func (keygenCmd) Help() string {
	return `Makes an RSA key pair, to try Rollcall without a provider.

Example:
  rollcall keygen keys
  rollcall serve --source test=rsa:keys/public.pem
  rollcall send --key keys/private.pem --url http://127.0.0.1:8080/webhooks/test event.json`
}

// Run makes the pair.
func (c *keygenCmd) Run(a *app) error {
	s, err := provider.NewKey()
	if err != nil {
		return err
	}
	private, public, err := s.Write(c.Dir, c.Force)
	if err != nil {
		return err
	}
	if c.Output == "table" {
		_, err := fmt.Fprint(a.Stdout, c.Line(a.Stdout, "private key  ", private), c.Line(a.Stdout, "public key   ", public))
		return err
	}
	g := &console.Grid{Columns: []string{"privateKey", "publicKey"}}
	g.Add(private, public)
	return c.Print(a.Stdout, g)
}
