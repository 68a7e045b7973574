package ingest

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"time"
)

// refusal is why a delivery is not stored: the answer's status, a reason for
// metrics and the problem type, and words for the sender.
type refusal struct {
	status     int
	reason     string
	detail     string
	retryAfter time.Duration // of a 503
	unverified bool          // the delivery has no signature that is known to be good
}

func (r *refusal) Error() string { return r.reason }

// delivery is one request in the ingester's hands.
type delivery struct {
	header  http.Header
	body    []byte
	arrival time.Time
}

// proof is what a verified signature leaves in the record.
type proof struct {
	signature   string
	fingerprint string
	// id is the delivery uuid that the signature covers, "" if it covers none.
	id string
}

// verifier decides whether a delivery is its source's. verify may block until
// ctx ends, and may be called concurrently; its errors are refusals.
type verifier interface {
	verify(ctx context.Context, d *delivery) (proof, *refusal)
	status() KeyStatus
}

func refuseAbsent(headers string) *refusal {
	return &refusal{status: http.StatusUnauthorized, reason: "signature-absent", unverified: true, detail: "the delivery has no " + headers + " header"}
}

func refuseWrong() *refusal {
	return &refusal{status: http.StatusUnauthorized, reason: "signature-wrong", unverified: true, detail: "the signature does not fit the body and the source's key"}
}

// refuseUnconfirmed: nothing that could be genuine may get a 4xx.
func refuseUnconfirmed(retry time.Duration) *refusal {
	return &refusal{
		status: http.StatusServiceUnavailable, reason: "key-unconfirmed", unverified: true,
		detail: "the signature does not fit the last known key, and whether that is current can't be said now", retryAfter: max(retry, time.Second),
	}
}

// noVerifier takes everything: scheme none.
type noVerifier struct{}

func (noVerifier) verify(_ context.Context, d *delivery) (proof, *refusal) {
	return proof{signature: firstOf(rsaSignatures(d.header))}, nil
}

func (noVerifier) status() KeyStatus { return KeyStatus{} }

// rsaSignatures are the signature headers of either generation, each once,
// without those that are longer than any signature. Something between the
// provider and us may have added one: each is tried.
func rsaSignatures(h http.Header) (list []string) {
	for _, s := range slices.Concat(h.Values("Dyte-Signature"), h.Values("Rtk-Signature")) {
		if s != "" && len(s) <= maxSignature && len(list) < maxRSASignatures && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

func firstOf(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// maxRSASignatures bounds the work that one delivery can ask for.
const maxRSASignatures = 4

// maxSignature bounds a signature header. RSA with 8192 bits has 1368 characters
// in base64; a list of Standard Webhooks signatures a few hundred.
const maxSignature = 4096

// rsaVerifier checks RSASSA-PKCS1-v1_5 with SHA-256 over the raw body. The
// algorithm is fixed: nothing in a request chooses it.
type rsaVerifier struct {
	ring keyring
	slot slots
}

func (v *rsaVerifier) status() KeyStatus { return v.ring.status() }

// verify tries the keys there are. Where none fits, the keys are confirmed and the
// new ones tried, so that a wrong signature gets a 401 only if the key is known to
// be current.
func (v *rsaVerifier) verify(ctx context.Context, d *delivery) (proof, *refusal) {
	texts := rsaSignatures(d.header)
	if len(texts) == 0 {
		return proof{}, refuseAbsent("dyte-signature or rtk-signature")
	}
	keys := v.ring.keys()
	sum := sha256.Sum256(d.body)
	if p, refused := v.try(ctx, keys, sum[:], texts, nil); refused != nil || p.fingerprint != "" {
		return p, refused
	}
	retry, err := v.ring.confirm(ctx, d.arrival)
	fresh := v.ring.keys()
	if p, refused := v.try(ctx, fresh, sum[:], texts, keys); refused != nil || p.fingerprint != "" {
		return p, refused
	}
	switch {
	case len(fresh) == 0:
		return proof{}, &refusal{
			status: http.StatusServiceUnavailable, reason: "no-key",
			detail: "there is no usable key for this source yet", retryAfter: min(max(retry, time.Second), time.Minute),
		}
	case err != nil:
		return proof{}, refuseUnconfirmed(retry)
	}
	return proof{}, refuseWrong()
}

// try checks each signature against those of keys that are not in tried; without
// a fingerprint in the proof none fits.
func (v *rsaVerifier) try(ctx context.Context, keys []rsaKey, sum []byte, texts []string, tried []rsaKey) (proof, *refusal) {
	for _, text := range texts {
		signature, ok := decodeBase64(text)
		if !ok {
			continue
		}
		name, refused := v.tryOne(ctx, keys, sum, signature, tried)
		if refused != nil || name != "" {
			return proof{signature: text, fingerprint: name}, refused
		}
	}
	return proof{}, nil
}

// tryOne returns the fingerprint of the key that a signature fits, or "".
func (v *rsaVerifier) tryOne(ctx context.Context, keys []rsaKey, sum, signature []byte, tried []rsaKey) (string, *refusal) {
	for _, k := range keys {
		if contains(tried, k) || len(signature) != k.public.Size() {
			continue
		}
		if refused := v.slot.acquire(ctx); refused != nil {
			return "", refused
		}
		err := rsa.VerifyPKCS1v15(k.public, crypto.SHA256, sum, signature)
		v.slot.release()
		if err == nil {
			return k.fingerprint, nil
		}
	}
	return "", nil
}

func contains(keys []rsaKey, k rsaKey) bool {
	for _, other := range keys {
		if other.fingerprint == k.fingerprint {
			return true
		}
	}
	return false
}

// decodeBase64 reads standard base64, with padding or without.
func decodeBase64(s string) ([]byte, bool) {
	if b, err := base64.StdEncoding.DecodeString(s); err == nil {
		return b, true
	}
	b, err := base64.RawStdEncoding.DecodeString(s)
	return b, err == nil
}

// slots bounds what costs CPU. A nil slots bounds nothing.
type slots chan struct{}

// acquire takes a slot, or waits for one until ctx ends, which is a 503.
func (s slots) acquire(ctx context.Context) *refusal {
	if s == nil {
		return nil
	}
	select {
	case s <- struct{}{}:
		return nil
	default:
	}
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &refusal{
			status: http.StatusServiceUnavailable, reason: "verification-busy",
			detail: "too many signatures are being checked", retryAfter: time.Second,
		}
	}
}

func (s slots) release() {
	if s != nil {
		<-s
	}
}

// newVerifier makes the verifier of a source. run is nil, or keeps its keys
// fresh until its context ends.
func newVerifier(c Config, s Source, slot slots, onRefresh func(bool)) (v verifier, run func(context.Context), err error) {
	switch s.Scheme {
	case SchemeNone:
		return noVerifier{}, nil, nil
	case SchemeStandard:
		ring, err := newFileKeys(s.Key, parseStandardKeys, c.Now)
		if err != nil {
			return nil, nil, err
		}
		return &standardVerifier{ring: ring, tolerance: s.Tolerance, slot: slot}, nil, nil
	case SchemeRSA:
		if s.Remote() {
			ring := newURLKeys(c, s, c.Logger.With().Str(logSource, s.Name).Logger(), onRefresh)
			return &rsaVerifier{ring, slot}, ring.run, nil
		}
		ring, err := newFileKeys(s.Key, parseRSAKeys, c.Now)
		if err != nil {
			return nil, nil, err
		}
		return &rsaVerifier{ring, slot}, nil, nil
	}
	return nil, nil, errors.New("unknown scheme")
}
