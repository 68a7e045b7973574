package ingest

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"rollcall/eventlog"
)

// Errors of Auditor.Check.
var (
	// ErrUnsigned: the record has no signature; its source is of scheme none.
	ErrUnsigned = errors.New("record has no signature")
	// ErrOtherKey: it was verified with a key that the auditor does not have.
	ErrOtherKey = errors.New("record was verified with another key")
	// ErrForged: the signature does not fit the body: one of them was changed
	// after it was verified.
	ErrForged = errors.New("signature does not fit the record")
)

// Auditor verifies records of the log again. It may be used concurrently.
type Auditor struct {
	rsa      []rsaKey
	standard []standardKey
}

// NewAuditor takes key documents: what a source's key file has, or what its key
// URL answers, of rsa or standard.
func NewAuditor(documents ...[]byte) (*Auditor, error) {
	a := new(Auditor)
	for i, d := range documents {
		keys, err := parseRSAKeys(d)
		// Other documents are lines of standard, which are neither PEM nor
		// JSON.
		if err == nil || bytes.Contains(d, []byte("-----BEGIN")) || bytes.HasPrefix(bytes.TrimSpace(d), []byte("{")) {
			if err != nil {
				return nil, fmt.Errorf("key %d: %w", i+1, err)
			}
			a.rsa = append(a.rsa, keys...)
			continue
		}
		secrets, err := parseStandardKeys(d)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		a.standard = append(a.standard, secrets...)
	}
	return a, nil
}

// Check verifies a record's body against its signature. It returns nil,
// ErrUnsigned, ErrOtherKey or ErrForged.
//
// With rsa only the body was signed: source, received time and delivery uuid
// are not proven. With standard the delivery uuid and the signed time are
// proven too.
func (a *Auditor) Check(r *eventlog.Record) error {
	if r.Signature == "" || r.KeyFingerprint == "" {
		return ErrUnsigned
	}
	if timestamp, list, ok := strings.Cut(r.Signature, " "); ok {
		return a.checkStandard(r, timestamp, list)
	}
	for _, k := range a.rsa {
		if k.fingerprint != r.KeyFingerprint {
			continue
		}
		signature, ok := decodeBase64(r.Signature)
		sum := sha256.Sum256(r.Body)
		if !ok || rsa.VerifyPKCS1v15(k.public, crypto.SHA256, sum[:], signature) != nil {
			return ErrForged
		}
		return nil
	}
	return ErrOtherKey
}

func (a *Auditor) checkStandard(r *eventlog.Record, timestamp, list string) error {
	for _, k := range a.standard {
		if k.fingerprint != r.KeyFingerprint {
			continue
		}
		if !k.fits(standardText(r.DeliveryID, timestamp, r.Body), strings.Fields(list)) {
			return ErrForged
		}
		return nil
	}
	return ErrOtherKey
}
