package ingest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Prefixes of Standard Webhooks keys and signatures
// (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md).
const (
	prefixSecret = "whsec_"
	prefixPublic = "whpk_"
	prefixHMAC   = "v1,"
	prefixEd     = "v1a,"

	// minSecret is less than the spec's 24 bytes, which not all senders keep.
	minSecret = 16
	// maxSignatures bounds the work that one header can ask for.
	maxSignatures = 16
)

// standardKey is a shared secret or an ed25519 public key.
type standardKey struct {
	secret      []byte
	public      ed25519.PublicKey
	fingerprint string
}

func (k standardKey) name() string { return k.fingerprint }

// parseStandardKeys reads one key a line: whsec_ and base64 of a secret, whpk_
// and base64 of an ed25519 public key; without a prefix it is a secret. Empty
// lines and lines that start with # are skipped. Several keys serve a rotation.
func parseStandardKeys(file []byte) ([]standardKey, error) {
	var keys []standardKey
	for n, line := range strings.Split(string(bytes.TrimPrefix(file, []byte("\xef\xbb\xbf"))), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		text, public := strings.CutPrefix(line, prefixPublic)
		b, ok := decodeBase64(strings.TrimPrefix(text, prefixSecret))
		switch {
		case !ok:
			return nil, fmt.Errorf("line %d is no key: %s", n+1, standardHelp)
		case public && len(b) != ed25519.PublicKeySize:
			return nil, fmt.Errorf("line %d: an ed25519 public key has %d bytes, not %d", n+1, ed25519.PublicKeySize, len(b))
		case public:
			keys = append(keys, standardKey{public: b, fingerprint: fingerprint(b)})
		case len(b) < minSecret:
			return nil, fmt.Errorf("line %d: the secret has %d bytes; at least %d", n+1, len(b), minSecret)
		default:
			keys = append(keys, standardKey{secret: b, fingerprint: fingerprint(b)})
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no key in it: " + standardHelp)
	}
	return keys, nil
}

// fits reports whether one of the signatures is k's over text. It takes the
// same time wherever a signature differs.
func (k standardKey) fits(text []byte, signatures []string) bool {
	found := false
	for _, s := range signatures {
		prefix := prefixHMAC
		if k.public != nil {
			prefix = prefixEd
		}
		encoded, ok := strings.CutPrefix(s, prefix)
		if !ok {
			continue
		}
		signature, ok := decodeBase64(encoded)
		if !ok {
			continue
		}
		if k.public != nil {
			found = found || len(signature) == ed25519.SignatureSize && ed25519.Verify(k.public, text, signature)
			continue
		}
		mac := hmac.New(sha256.New, k.secret)
		mac.Write(text)
		found = hmac.Equal(mac.Sum(nil), signature) || found
	}
	return found
}

// standardText is what is signed.
func standardText(id, timestamp string, body []byte) []byte {
	text := make([]byte, 0, len(id)+len(timestamp)+len(body)+2)
	text = append(text, id...)
	text = append(text, '.')
	text = append(text, timestamp...)
	text = append(text, '.')
	return append(text, body...)
}

// standardVerifier checks Standard Webhooks signatures: id, time and body are
// signed, so that an old delivery can't be sent again after the tolerance.
type standardVerifier struct {
	ring      *fileKeys[standardKey]
	tolerance time.Duration
	slot      slots
}

func (v *standardVerifier) status() KeyStatus { return v.ring.status() }

// verify checks the signed time first, then the signatures with the keys that were
// read last and, where none fits, with those that the file has now.
func (v *standardVerifier) verify(ctx context.Context, d *delivery) (proof, *refusal) {
	id, timestamp, list := d.header.Get("Webhook-Id"), d.header.Get("Webhook-Timestamp"), strings.Join(d.header.Values("Webhook-Signature"), " ")
	if id == "" || timestamp == "" || list == "" {
		return proof{}, refuseAbsent("webhook-id, webhook-timestamp or webhook-signature")
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	signatures := strings.Fields(list)
	if err != nil || len(list) > maxSignature || len(signatures) > maxSignatures || !literalID(id) {
		return proof{}, refuseWrong()
	}
	tolerance := v.tolerance
	if tolerance == 0 {
		tolerance = DefaultTolerance
	}
	if off := d.arrival.Sub(time.Unix(seconds, 0)); off > tolerance || off < -tolerance {
		return proof{}, &refusal{
			status: http.StatusUnauthorized, reason: "timestamp", unverified: true,
			detail: "the signed time is further than " + tolerance.String() + " from this server's",
		}
	}
	text := standardText(id, timestamp, d.body)
	if p, refused := v.try(ctx, id, timestamp, text, signatures); refused != nil || p.fingerprint != "" {
		return p, refused
	}
	// The file may have been replaced since it was read.
	retry, err := v.ring.confirm(ctx, d.arrival)
	if p, refused := v.try(ctx, id, timestamp, text, signatures); refused != nil || p.fingerprint != "" {
		return p, refused
	}
	if err != nil {
		return proof{}, refuseUnconfirmed(retry)
	}
	return proof{}, refuseWrong()
}

// try checks the signatures against the keys there are; without a fingerprint in
// the proof none fits.
func (v *standardVerifier) try(ctx context.Context, id, timestamp string, text []byte, signatures []string) (proof, *refusal) {
	if refused := v.slot.acquire(ctx); refused != nil {
		return proof{}, refused
	}
	defer v.slot.release()
	for _, k := range v.ring.keys() {
		if k.fits(text, signatures) {
			// The time is signed too: kept in front, so that the record can be
			// verified again.
			return proof{signature: timestamp + " " + strings.Join(signatures, " "), fingerprint: k.fingerprint, id: id}, nil
		}
	}
	return proof{}, nil
}
