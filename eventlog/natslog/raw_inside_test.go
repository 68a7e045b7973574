package natslog

import (
	"bufio"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"rollcall/eventlog"
)

// TestRawMessages: what a server may send between INFO and its end, and what is no
// message of the protocol.
func TestRawMessages(t *testing.T) {
	// want is header|body|reply of each message before the error or the end.
	for text, want := range map[string]string{
		"MSG s 1 5\r\nhello\r\n":                                       "|hello|",
		"MSG s 1 r 0\r\n\r\nMSG s 1 2\r\nab\r\n":                       "||r;|ab|",
		"HMSG s 1 r 4 6\r\nhead42\r\nPING\r\nMSG s 1 1\r\nx\r\n":       "head|42|r;|x|",
		"HMSG s 1 4 4\r\nhead\r\n":                                     "head||",
		"+OK\r\nHMSG s 1 0 2\r\nab\r\n":                                "|ab|",
		"HMSG s 1 5 4\r\nhead\r\n":                                     "",
		"HMSG s 1 r 4\r\nhead\r\n":                                     "",
		"HMSG s 1 4\r\nhead\r\n":                                       "",
		"MSG s 1\r\n":                                                  "",
		"MSG s 1 r x 5\r\nhello\r\n":                                   "",
		"MSG s 1 a b c d e 5\r\nhello\r\n":                             "",
		"MSG s 1 -5\r\nhello\r\n":                                      "",
		"MSG s 1 1234567890\r\nhello\r\n":                              "",
		"MSG s 1 67108865\r\nhello\r\n":                                "",
		"MSG s 1 5\r\nhel":                                             "",
		"-ERR 'slow'\r\nMSG s 1 1\r\nx\r\n":                            "",
		"MSG " + strings.Repeat("s", maxControlLine) + " 1 1\r\nx\r\n": "",
	} {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			fmt.Fprint(server, text)
		}()
		w := &raw{conn: discard{client}, in: bufio.NewReaderSize(client, rawBuffer)}
		var got []string
		var s slab
		for {
			f, err := w.next(&s)
			if err != nil {
				break
			}
			got = append(got, fmt.Sprintf("%s|%s|%s", f.header, f.body, f.reply))
		}
		client.Close()
		if joined := strings.Join(got, ";"); joined != want {
			t.Errorf("messages of %.60q = %q; want %q", text, joined, want)
		}
	}
}

// discard is a connection whose other end reads nothing.
type discard struct{ net.Conn }

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// TestRawHello: a second connection has the credentials of the first, and says so
// where they can't be read.
func TestRawHello(t *testing.T) {
	broken := fmt.Errorf("file is gone")
	for name, c := range map[string]struct {
		url     string
		options nats.Options
		want    string // in CONNECT's argument; "" is an error
	}{
		"nobody":        {"nats://h:1", nats.Options{}, `"headers":true`},
		"user of URL":   {"nats://u:p@h:1", nats.Options{User: "other"}, `"user":"u","pass":"p"`},
		"token of URL":  {"nats://t@h:1", nats.Options{}, `"auth_token":"t"`},
		"user":          {"nats://h:1", nats.Options{User: "u", Password: "p"}, `"user":"u","pass":"p"`},
		"user by call":  {"nats://h:1", nats.Options{User: "x", UserInfo: func() (string, string) { return "u", "p" }}, `"user":"u","pass":"p"`},
		"token by call": {"nats://h:1", nats.Options{TokenHandler: func() string { return "t" }}, `"auth_token":"t"`},
		"JWT": {"nats://h:1", nats.Options{UserJWT: func() (string, error) { return "j", nil },
			SignatureCB: func(nonce []byte) ([]byte, error) { return append([]byte("s"), nonce...), nil }}, `"jwt":"j","sig":"c24"`},
		"nkey": {"nats://h:1", nats.Options{Nkey: "k", SignatureCB: func(nonce []byte) ([]byte, error) { return append([]byte("s"), nonce...), nil }},
			`"nkey":"k","sig":"c24"`},
		"JWT that can't be read":  {"nats://h:1", nats.Options{UserJWT: func() (string, error) { return "", broken }}, ""},
		"seed that can't be read": {"nats://h:1", nats.Options{Nkey: "k", SignatureCB: func([]byte) ([]byte, error) { return nil, broken }}, ""},
	} {
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		got, err := hello(&nats.Conn{Opts: c.options}, u, "n", false)
		if (err == nil) != (c.want != "") || !strings.Contains(string(got), c.want) {
			t.Errorf("hello() of %s = %s, %v; want %q in it", name, got, err, c.want)
		}
	}
}

// TestRecentIDs: an answer is known for as long as the server knows it, and for as
// long as there is room.
func TestRecentIDs(t *testing.T) {
	began := time.Unix(0, 0)
	r := newRecentIDs(2, time.Minute)
	add := func(id string, seq uint64, at time.Duration) {
		r.add(id, eventlog.Appended{Seq: eventlog.Seq(seq)}, began.Add(at))
	}
	want := func(id string, seq uint64, at time.Duration) {
		t.Helper()
		got, ok := r.get(id, began.Add(at))
		if ok != (seq > 0) || uint64(got.Seq) != seq {
			t.Errorf("get(%s) after %v = %d, %v; want %d", id, at, got.Seq, ok, seq)
		}
	}
	add("a", 1, 0)
	want("a", 1, time.Minute-1)
	want("a", 0, time.Minute)
	add("b", 2, 0)
	add("a", 3, time.Second) // stored again: it keeps its place
	want("a", 3, time.Minute)
	add("c", 4, 0)
	want("a", 0, 0) // the oldest went
	want("b", 2, 0)
	want("c", 4, 0)
	r.drop("b", 9) // of another record
	want("b", 2, 0)
	r.drop("b", 2)
	want("b", 0, 0)
	add("d", 5, 0)
	add("e", 6, 0)
	want("c", 0, 0)
	want("d", 5, 0)
	want("e", 6, 0)
}
