package ingest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/ingest"
)

func certificate(t testing.TB) []byte {
	t.Helper()
	key := testKeys()[0]
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "provider"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestKeyForms: a key is read however it was pasted, and verifies.
func TestKeyForms(t *testing.T) {
	key := testKeys()[0]
	text := string(publicPEM(t, key))
	block, _ := pem.Decode([]byte(text))
	bare := base64.StdEncoding.EncodeToString(block.Bytes)
	pkcs1 := x509.MarshalPKCS1PublicKey(&key.PublicKey)
	cert := certificate(t)
	for name, file := range map[string]string{
		"PEM":                       text,
		"byte order mark":           "\xef\xbb\xbf" + text,
		"CRLF":                      strings.ReplaceAll(text, "\n", "\r\n"),
		`literal \n`:                strings.ReplaceAll(text, "\n", `\n`),
		`literal \r\n, quoted`:      `"` + strings.ReplaceAll(text, "\n", `\r\n`) + `"`,
		"one line":                  strings.ReplaceAll(text, "\n", " "),
		"one line, nothing between": strings.ReplaceAll(text, "\n", ""),
		"indented":                  "    " + strings.ReplaceAll(text, "\n", "\n    "),
		"text around it":            "key of the provider:\n" + text + "end\n",
		"RSA PUBLIC KEY":            string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1})),
		"bare base64":               bare,
		"bare base64 in lines":      bare[:64] + "\n" + bare[64:128] + "\r\n  " + bare[128:] + "\n",
		"bare base64 of PKCS 1":     base64.StdEncoding.EncodeToString(pkcs1),
		"certificate":               string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})),
		"bare certificate":          base64.StdEncoding.EncodeToString(cert),
		"DER":                       string(block.Bytes),
		"document with one line":    `{"data":{"publicKey":"` + strings.ReplaceAll(text, "\n", " ") + `"}}`,
	} {
		path := keyFile(t, []byte(file))
		h, err := ingest.New(ingest.Config{Log: &memory{}, Sources: []ingest.Source{{Name: "a", Scheme: "rsa", Key: path}}})
		if err != nil {
			t.Errorf("%s: New = %v; want the key", name, err)
			continue
		}
		if w := post(h, "/webhooks/a", started, "rtk-signature", sign(t, key, started)); w.Code != 200 {
			t.Errorf("%s: answer = %d %s; want 200", name, w.Code, w.Body)
		}
		if _, err := ingest.NewAuditor([]byte(file)); err != nil {
			t.Errorf("%s: NewAuditor = %v", name, err)
		}
	}
}

// TestKeyErrors: what can't be read is named.
func TestKeyErrors(t *testing.T) {
	text := string(publicPEM(t, testKeys()[0]))
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&curve.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	elliptical := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	for name, test := range map[string]struct{ file, says string }{
		"empty":                {"", "no PEM public key"},
		"HTML":                 {"<html>not found</html>", "no PEM public key"},
		"cut at the end":       {text[:len(text)-30], "does not end"},
		"cut in the middle":    {text[:60] + "\n-----END PUBLIC KEY-----\n", "or cut"},
		"changed":              {strings.Replace(text, "MII", "M*I", 1), "no base64"},
		"begins and ends as":   {strings.Replace(text, "END PUBLIC", "END RSA PUBLIC", 1), "ends as"},
		"no RSA":               {elliptical, "not RSA"},
		"no RSA, bare":         {base64.StdEncoding.EncodeToString(der), "not RSA"},
		"private":              {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "private key"},
		"private, in its form": {"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----", "private key"},
		"OpenSSH":              {"ssh-rsa AAAAB3NzaC1yc2E= me@here", "ssh-keygen -e -m PKCS8"},
		"request":              {"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----", "is no public key"},
		"secret":               {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "no PEM public key"},
	} {
		_, err := ingest.New(ingest.Config{Log: &memory{}, Sources: []ingest.Source{{Name: "a", Scheme: "rsa", Key: keyFile(t, []byte(test.file))}}})
		if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: New = %v; want an error in one line with %q", name, err, test.says)
		}
	}
}

// TestKeyFileTakenAway: while the key file is gone the last keys stay, and a wrong
// signature is no 401: the file may come back with another key.
func TestKeyFileTakenAway(t *testing.T) {
	a, b := testKeys()[0], testKeys()[1]
	path := keyFile(t, publicPEM(t, a))
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, ingest.Config{Log: &memory{}, Sources: []ingest.Source{{Name: "prod", Scheme: "rsa", Key: path}}})
		time.Sleep(2 * time.Second)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		expectStored(t, post(h, "/webhooks/prod", started, "rtk-signature", sign(t, a, started)))
		expectProblem(t, post(h, "/webhooks/prod", started, "rtk-signature", sign(t, b, started)), 503, "key-unconfirmed")
		if k := h.Keys()[0]; k.Err == nil || len(k.Fingerprints) != 1 {
			t.Errorf("Keys = %+v; want the last key, and why it is not fresh", k)
		}
		if err := os.WriteFile(path, publicPEM(t, b), 0o600); err != nil {
			t.Fatal(err)
		}
		expectStored(t, post(h, "/webhooks/prod", started, "rtk-signature", sign(t, b, started)))
		expectProblem(t, post(h, "/webhooks/prod", started, "rtk-signature", sign(t, a, started)), 401, "signature-wrong")
	})
}
