package ingest

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
)

const (
	minRSABits = 2048 // below it a key can be factored
	maxRSABits = 8192 // above it a verification costs milliseconds
	// maxKeyDocument bounds a key file or document.
	maxKeyDocument = 64 << 10
)

// rsaKey is a public key with the name that records carry.
type rsaKey struct {
	public      *rsa.PublicKey
	fingerprint string
	pem         string
}

func (k rsaKey) name() string { return k.fingerprint }

// parseRSAKeys reads the public keys in a file: PEM with one or more keys or
// certificates, however it was pasted (on one line, indented, with \n for line
// breaks), the base64 of a key alone, DER, or the provider's key document
// {"data":{"publicKey":"…PEM…"}}.
func parseRSAKeys(document []byte) ([]rsaKey, error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(document, []byte("\xef\xbb\xbf")))
	if bytes.HasPrefix(text, []byte("{")) {
		var d struct {
			Data struct {
				PublicKey string `json:"publicKey"`
			} `json:"data"`
		}
		if err := json.Unmarshal(text, &d); err != nil {
			return nil, errors.New("no readable key document: it must be JSON with data.publicKey")
		}
		if d.Data.PublicKey == "" {
			return nil, errors.New("no PEM public key in it: the JSON has no data.publicKey")
		}
		text = []byte(d.Data.PublicKey)
	}
	blocks, err := keyBlocks(text)
	if err != nil {
		return nil, err
	}
	var keys []rsaKey
	for _, b := range blocks {
		key, err := parseRSAKey(b)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

var (
	pemBlock  = regexp.MustCompile(`(?s)-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END ([A-Z0-9 ]+)-----`)
	lineBreak = strings.NewReplacer(`\r\n`, "\n", `\n`, "\n", `\r`, "\n") // as JSON and environment files write them
)

// keyBlocks finds what may be keys. encoding/pem alone is too strict: a key that
// went through a web form or an environment variable has lost its line breaks.
func keyBlocks(text []byte) (blocks []*pem.Block, err error) {
	plain := lineBreak.Replace(string(text))
	for _, m := range pemBlock.FindAllStringSubmatch(plain, -1) {
		if m[1] != m[3] {
			return nil, fmt.Errorf("a PEM block begins as %.40q and ends as %.40q", m[1], m[3])
		}
		b := &pem.Block{Type: m[1]}
		if !strings.HasSuffix(m[1], "PRIVATE KEY") { // what is in there is not looked at
			if b.Bytes, err = decodeKey(m[2]); err != nil {
				return nil, fmt.Errorf("the text of PEM block %.40q is no base64: it was changed on its way, or cut", m[1])
			}
		}
		blocks = append(blocks, b)
	}
	switch {
	case len(blocks) > 0:
		return blocks, nil
	case strings.Contains(plain, "-----BEGIN"):
		return nil, errors.New("a PEM block does not end: the line -----END …----- is missing, so that the key may be cut")
	case strings.HasPrefix(plain, "ssh-"):
		return nil, errors.New("it is an OpenSSH key; `ssh-keygen -e -m PKCS8 -f FILE` makes PEM of it")
	}
	der, err := decodeKey(strings.Trim(plain, `"'`))
	if err != nil || len(der) == 0 {
		der = text
	}
	if b := derBlock(der); b != nil {
		return []*pem.Block{b}, nil
	}
	return nil, errors.New("no PEM public key in it")
}

// decodeKey reads base64 with any white space in it.
func decodeKey(s string) ([]byte, error) {
	b, ok := decodeBase64(strings.Join(strings.Fields(s), ""))
	if !ok {
		return nil, errors.New("no base64")
	}
	return b, nil
}

// derBlock says what DER is, nil where it is no public key and no certificate.
func derBlock(der []byte) *pem.Block {
	if _, err := x509.ParsePKIXPublicKey(der); err == nil {
		return &pem.Block{Type: "PUBLIC KEY", Bytes: der}
	}
	if _, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return &pem.Block{Type: "RSA PUBLIC KEY", Bytes: der}
	}
	if _, err := x509.ParseCertificate(der); err == nil {
		return &pem.Block{Type: "CERTIFICATE", Bytes: der}
	}
	return nil
}

// publicKey reads a block's key.
func publicKey(block *pem.Block) (any, error) {
	switch block.Type {
	case "PUBLIC KEY":
		k, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("the PEM block holds no public key: it was changed on its way, or cut")
		}
		return k, nil
	case "RSA PUBLIC KEY":
		k, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("the PEM block holds no RSA public key: it was changed on its way, or cut")
		}
		return k, nil
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("the PEM block holds no certificate: it was changed on its way, or cut")
		}
		return c.PublicKey, nil
	}
	if strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return nil, errors.New("it is a private key; give the ingester the public one")
	}
	return nil, fmt.Errorf("PEM block %.40q is no public key", block.Type)
}

// parseRSAKey takes a block that holds an RSA public key of an accepted size.
func parseRSAKey(block *pem.Block) (rsaKey, error) {
	k, err := publicKey(block)
	if err != nil {
		return rsaKey{}, err
	}
	public, ok := k.(*rsa.PublicKey)
	if !ok {
		return rsaKey{}, errors.New("the public key is not RSA")
	}
	if n := public.N.BitLen(); n < minRSABits || n > maxRSABits {
		return rsaKey{}, fmt.Errorf("the RSA key has %d bits; use %d to %d", n, minRSABits, maxRSABits)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return rsaKey{}, fmt.Errorf("encode public key: %w", err)
	}
	return rsaKey{
		public:      public,
		fingerprint: fingerprint(der),
		pem:         string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	}, nil
}

// fingerprint names a key without giving it away: OpenSSH's form, over the
// DER of a public key, or a secret.
func fingerprint(key []byte) string {
	sum := sha256.Sum256(key)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}
