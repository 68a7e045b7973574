package node

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"rollcall/eventlog/eventlogtest"
	"rollcall/ingest/web"
)

// TestHeaderMemoryIsBounded: connections that send large headers are closed beyond
// the bound; small requests are answered, and what was held comes back.
func TestHeaderMemoryIsBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &bounded{inner, make(chan struct{}, 100), newHeaderBudget(1 << 20)}
	server := &http.Server{
		MaxHeaderBytes: 512 << 10, ReadHeaderTimeout: time.Hour,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }),
	}
	go web.Serve(t.Context(), l, server, time.Second, zerolog.Nop())
	t.Cleanup(func() { server.Close() })
	address := inner.Addr().String()
	large := strings.Repeat("x", 300<<10)

	closed := make(chan struct{}, 20)
	var held []net.Conn
	for range 20 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
		go func() {
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nX: "+large) // the request does not end
			io.Copy(io.Discard, conn)
			closed <- struct{}{}
		}()
	}
	for range 16 { // three fit
		select {
		case <-closed:
		case <-time.After(eventlogtest.Patience):
			t.Fatal("connections stay open with more headers than may be held")
		}
	}
	get := func(client *http.Client, header string) error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, http.NoBody)
		if err != nil {
			return err
		}
		r.Header.Set("X", header)
		res, err := client.Do(r)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		return err
	}
	for range 10 {
		if err := get(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "small"); err != nil {
			t.Errorf("a small request beside large ones: %v; want an answer", err)
		}
	}
	for _, conn := range held {
		conn.Close()
	}
	client := &http.Client{Transport: new(http.Transport)}
	for get(client, large) != nil { // until the server has noticed
		if t.Context().Err() != nil {
			t.Fatal("what was held does not come back")
		}
	}
	for range 20 {
		if err := get(client, large); err != nil {
			t.Fatalf("one large request after the other: %v; want answers", err)
		}
	}
}

// TestHeaderMemoryCountsAcrossKeyUpdates: a client that changes its TLS keys in the
// middle of a request has the server write, which is no answer.
func TestHeaderMemoryCountsAcrossKeyUpdates(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lender := httptest.NewTLSServer(http.NotFoundHandler()) // its certificate is good enough
	lender.Close()
	l := tls.NewListener(&bounded{inner, make(chan struct{}, 100), newHeaderBudget(1 << 20)}, &tls.Config{Certificates: lender.TLS.Certificates})
	server := &http.Server{MaxHeaderBytes: 512 << 10, ReadHeaderTimeout: time.Hour, Handler: http.NotFoundHandler()}
	go web.Serve(t.Context(), l, server, time.Second, zerolog.Nop())
	t.Cleanup(func() { server.Close() })

	closed := make(chan error, 20)
	for range cap(closed) {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		go func() { closed <- sendAcrossKeyUpdates(conn) }()
	}
	for range 16 { // three fit
		select {
		case err := <-closed:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(eventlogtest.Patience):
			t.Fatal("connections stay open with more headers than may be held")
		}
	}
}

// sendAcrossKeyUpdates sends 320 KiB of headers, in parts with a key update after each
// that asks the server for one, and returns when the connection is closed.
func sendAcrossKeyUpdates(conn net.Conn) error {
	var secrets bytes.Buffer
	client := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, KeyLogWriter: &secrets})
	if err := client.Handshake(); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	const aes128 = tls.TLS_AES_128_GCM_SHA256
	_, secret, ok := strings.Cut(secrets.String(), "CLIENT_TRAFFIC_SECRET_0 ")
	if client.ConnectionState().CipherSuite != aes128 || !ok {
		return fmt.Errorf("cipher suite %x without a traffic secret; this test speaks %x", client.ConnectionState().CipherSuite, aes128)
	}
	key, err := hex.DecodeString(strings.TrimSpace(strings.Split(strings.Split(secret, "\n")[0], " ")[1]))
	if err != nil {
		return err
	}
	text := "GET / HTTP/1.1\r\nHost: x\r\nX: "
	for range 32 {
		records := records{secret: key}
		text += strings.Repeat("x", 10<<10)
		if err := errors.Join(records.send(conn, 23, []byte(text)), records.send(conn, 22, []byte{24, 0, 0, 1, 1})); err != nil {
			return nil // closed while it sent
		}
		key, text = expand(key, "traffic upd", 32), ""
	}
	_, _ = io.Copy(io.Discard, conn)
	return nil
}

// records writes what TLS 1.3 protects with one secret.
type records struct {
	secret []byte
	sent   uint64
}

func (r *records) send(w io.Writer, kind byte, content []byte) error {
	block, err := aes.NewCipher(expand(r.secret, "key", 16))
	if err != nil {
		return err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	nonce := expand(r.secret, "iv", 12)
	for i := range 8 {
		nonce[11-i] ^= byte(r.sent >> (8 * i))
	}
	r.sent++
	plain := append(content, kind)
	size := len(plain) + gcm.Overhead()
	header := []byte{23, 3, 3, byte(size >> 8), byte(size)}
	_, err = w.Write(gcm.Seal(header, nonce, plain, header))
	return err
}

// expand is TLS 1.3's HKDF-Expand-Label with no context.
func expand(secret []byte, label string, size int) []byte {
	label = "tls13 " + label
	info := append([]byte{0, byte(size), byte(len(label))}, label...)
	out, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), size)
	if err != nil {
		panic(err) // sizes are constants here
	}
	return out
}
