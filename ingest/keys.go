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

// parseRSAKeys reads PEM with one or more public keys, or the provider's key
// document {"data":{"publicKey":"…PEM…"}}.
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
		text = []byte(d.Data.PublicKey)
	}
	var keys []rsaKey
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			break
		}
		key, err := parseRSAKey(block)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("no PEM public key in it")
	}
	return keys, nil
}

func parseRSAKey(block *pem.Block) (rsaKey, error) {
	var public *rsa.PublicKey
	switch block.Type {
	case "PUBLIC KEY":
		k, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return rsaKey{}, errors.New("the PEM block holds no public key")
		}
		var ok bool
		if public, ok = k.(*rsa.PublicKey); !ok {
			return rsaKey{}, errors.New("the public key is not RSA")
		}
	case "RSA PUBLIC KEY":
		k, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return rsaKey{}, errors.New("the PEM block holds no RSA public key")
		}
		public = k
	case "PRIVATE KEY", "RSA PRIVATE KEY":
		return rsaKey{}, errors.New("it is a private key; give the ingester the public one")
	default:
		return rsaKey{}, fmt.Errorf("PEM block %.40q is no public key", block.Type)
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
