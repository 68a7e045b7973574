package provider

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

// Key signs bodies the way the providers do: RSASSA-PKCS1-v1_5 with SHA-256
// over the raw bytes, base64 in the signature header.
type Key struct{ private *rsa.PrivateKey }

// Sign is the value of the signature header for a body.
func (s Key) Sign(body []byte) (string, error) {
	sum := sha256.Sum256(body)
	sig, err := rsa.SignPKCS1v15(nil, s.private, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign body: %w", err)
	}
	return base64.StdEncoding.EncodeToString(sig), nil
}

// NewKey makes a key pair.
func NewKey() (Key, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return Key{}, fmt.Errorf("generate key pair: %w", err)
	}
	return Key{key}, nil
}

// ReadKey reads a private key: PEM, PKCS #1 or PKCS #8.
func ReadKey(path string) (Key, error) {
	b, err := console.ReadSmallFile("private key", path)
	if err != nil {
		return Key{}, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return Key{}, console.Usagef("read private key: %s is no PEM file; `rollcall keygen` makes a pair", path)
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return Key{key}, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return Key{}, console.Usagef("read private key: %s holds a %q that is no RSA private key; `rollcall keygen` makes a pair", path, block.Type)
	}
	return Key{key}, nil
}

// Public is the public key as PEM, the form the providers publish.
func (s Key) Public() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(&s.private.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// Write stores the pair in dir as private.pem (0600) and public.pem.
func (s Key) Write(dir string, force bool) (private, public string, err error) {
	private, public = filepath.Join(dir, "private.pem"), filepath.Join(dir, "public.pem")
	der, err := x509.MarshalPKCS8PrivateKey(s.private)
	if err != nil {
		return "", "", fmt.Errorf("encode private key: %w", err)
	}
	pub, err := s.Public()
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
