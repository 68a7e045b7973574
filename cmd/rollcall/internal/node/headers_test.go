package node

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
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
	go server.Serve(l)
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
		case <-time.After(20 * time.Second):
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
