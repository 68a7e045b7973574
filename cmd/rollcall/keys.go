package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"rollcall/cmd/rollcall/internal/console"
)

// signer signs bodies the way the providers do: RSASSA-PKCS1-v1_5 with SHA-256
// over the raw bytes, base64 in the signature header.
type signer struct{ key *rsa.PrivateKey }

func (s signer) sign(body []byte) (string, error) {
	sum := sha256.Sum256(body)
	sig, err := rsa.SignPKCS1v15(nil, s.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign body: %w", err)
	}
	return base64.StdEncoding.EncodeToString(sig), nil
}

// newSigner makes a key pair.
func newSigner() (signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return signer{}, fmt.Errorf("generate key pair: %w", err)
	}
	return signer{key}, nil
}

// readSigner reads a private key: PEM, PKCS #1 or PKCS #8.
func readSigner(path string) (signer, error) {
	b, err := console.ReadSmallFile("private key", path)
	if err != nil {
		return signer{}, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return signer{}, console.Usagef("read private key: %s is no PEM file; `rollcall keygen` makes a pair", path)
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return signer{key}, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return signer{}, console.Usagef("read private key: %s holds a %q that is no RSA private key; `rollcall keygen` makes a pair", path, block.Type)
	}
	return signer{key}, nil
}

// public is the public key as PEM, the form the providers publish.
func (s signer) public() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// write stores the pair in dir as private.pem (0600) and public.pem.
func (s signer) write(dir string, force bool) (private, public string, err error) {
	private, public = filepath.Join(dir, "private.pem"), filepath.Join(dir, "public.pem")
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return "", "", fmt.Errorf("encode private key: %w", err)
	}
	pub, err := s.public()
	if err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", fmt.Errorf("make directory for the keys: %w", err)
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	for _, f := range []struct {
		path  string
		mode  os.FileMode
		bytes []byte
	}{
		{private, 0o600, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})},
		{public, 0o644, pub},
	} {
		if err := writeNew(f.path, flags, f.mode, f.bytes); err != nil {
			return "", "", err
		}
	}
	return private, public, nil
}

func writeNew(path string, flags int, mode os.FileMode, b []byte) error {
	f, err := os.OpenFile(path, flags, mode)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists; --force writes over it", path)
	}
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	_, err = f.Write(b)
	// A file that was there keeps its mode.
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	return nil
}

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
	s, err := newSigner()
	if err != nil {
		return err
	}
	private, public, err := s.write(c.Dir, c.Force)
	if err != nil {
		return err
	}
	if c.Output == "table" {
		_, err := fmt.Fprintf(a.Stdout, "private key  %s\npublic key   %s\n", private, public)
		return err
	}
	g := &console.Grid{Columns: []string{"privateKey", "publicKey"}}
	g.Add(private, public)
	return c.Print(a.Stdout, g)
}
