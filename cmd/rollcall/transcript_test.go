package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rollcall/cmd/rollcall/internal/provider"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/ingest"
)

var update = flag.Bool("update", false, "write the transcripts of TestTranscripts into docs/ANSWERS.md")

// The address in the document, and the lines around the transcripts in it.
const (
	transcriptAddress = "127.0.0.1:8080"
	transcriptsBegin  = "<!-- made by TestTranscripts -->\n"
	transcriptsEnd    = "<!-- end of what TestTranscripts made -->\n"
)

// transcript is one answer of the ingester: its title, and the command.
type transcript struct{ title, command string }

// signed is a curl command that signs a file as the provider does.
func signed(file, source, more string) string {
	return `curl -i --data-binary @` + file + ` -H "dyte-signature: $(sign ` + file + `)" ` + more + "http://" + transcriptAddress + "/webhooks/" + source
}

// transcripts are all the answers that the interface promises, in an order in
// which each is what the ones before lead to.
func transcripts() []transcript {
	return []transcript{
		{"200: stored, and on disk", signed("event.json", "prod", "-H 'dyte-uuid: 4f1c' ")},
		{"200: the same delivery again: the first one's id and sequence", signed("event.json", "prod", "-H 'dyte-uuid: 4f1c' ")},
		{"200: the same body as another delivery is another record", signed("event.json", "prod", "-H 'dyte-uuid: 77ab' ")},
		{"200: a signed body that is no JSON is kept, and folds nothing", signed("text.json", "prod", "")},
		{"200: so is a type that nobody knows yet", signed("new.json", "prod", "")},
		{"401: no signature", `curl -i --data-binary @event.json http://` + transcriptAddress + `/webhooks/prod`},
		{"401: a signature of something else", `curl -i --data-binary @new.json -H "dyte-signature: $(sign event.json)" http://` + transcriptAddress + `/webhooks/prod`},
		{"401: properly signed, but of a webhook that is not on the source's list", signed("event.json", "mine", "-H 'dyte-webhook-id: w2' ")},
		{"401: the signed time of a Standard Webhook is too far off", `curl -i --data-binary @event.json -H 'webhook-id: msg_1' -H 'webhook-timestamp: 1614265330' -H 'webhook-signature: v1,AAAA' http://` + transcriptAddress + `/webhooks/standard`},
		{"404: no such source", signed("event.json", "nobody", "")},
		{"405: not posted", `curl -i -X PUT --data-binary @event.json http://` + transcriptAddress + `/webhooks/prod`},
		{"413: more than --max-body", `curl -i --data-binary @large.json http://` + transcriptAddress + `/webhooks/prod`},
		{"503: over the source's rate (the second within a minute, where one is allowed)", signed("event.json", "slow", "") + " -o /dev/null; " + signed("event.json", "slow", "")},
		{"503: no usable key yet", signed("event.json", "keyless", "")},
		{"401: a wrong signature, after the key was fetched once more", `curl -i --data-binary @new.json -H "dyte-signature: $(sign event.json)" http://` + transcriptAddress + `/webhooks/remote`},
		{"503: a wrong signature, while the key may not be fetched again: it might have changed", `curl -i --data-binary @new.json -H "dyte-signature: $(sign event.json)" http://` + transcriptAddress + `/webhooks/remote`},
		{"503: the log can't take it now", signed("event.json", "prod", "-H 'dyte-uuid: 90ce' ")},
	}
}

// TestTranscripts has the real server give each of its answers to curl, and
// holds docs/ANSWERS.md to it. -update writes the document.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	got, err := eventlogtest.Made(func() (string, error) { return answers(t) })
	if err != nil {
		t.Error(err)
	}
	path := filepath.Join("..", "..", "docs", "ANSWERS.md")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(b), transcriptsBegin)
	old, after, ok2 := strings.Cut(rest, transcriptsEnd)
	if !ok1 || !ok2 {
		t.Fatalf("ANSWERS.md has no lines %q and %q", transcriptsBegin, transcriptsEnd)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+transcriptsBegin+got+transcriptsEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	g, w := strings.Split(steady(got), "\n"), strings.Split(steady(old), "\n")
	for i := range max(len(g), len(w)) {
		if line(g, i) != line(w, i) {
			t.Fatalf("transcripts, line %d:\n got %s\nwant %s\nif that is right: go test ./cmd/rollcall -run TestTranscripts -update", i+1, line(g, i), line(w, i))
		}
	}
}

// answers are all transcripts, of a server of their own.
func answers(t *testing.T) (got string, err error) {
	node := eventlogtest.Server(t)
	dir, address := startTranscripts(t, node)
	all := transcripts()
	for i, tr := range all {
		if i == len(all)-1 {
			node.Stop(t)
		}
		shown := strings.Replace(tr.command, signed("event.json", "slow", "")+" -o /dev/null; ", "", 1)
		out := runShell(t, dir, strings.ReplaceAll(tr.command, transcriptAddress, address))
		got += fmt.Sprintf("%s\n\n```console\n$ %s\n%s```\n\n", tr.title, shown, out)
		if want := "HTTP/1.1 " + tr.title[:3] + " "; !strings.HasPrefix(out, want) {
			err = errors.Join(err, fmt.Errorf("%s: answer = %q; want %s", tr.title, out, want))
		}
	}
	return got, err
}

// steady replaces what differs from run to run.
func steady(s string) string {
	s = regexp.MustCompile(`[0-9A-HJKMNP-TV-Z]{26}`).ReplaceAllString(s, "ULID")
	s = regexp.MustCompile(`Date: .*`).ReplaceAllString(s, "Date: now")
	return regexp.MustCompile(`Retry-After: ([2-5][0-9]|60)`).ReplaceAllString(s, "Retry-After: 60")
}

// startTranscripts starts a server with a source for each case, and makes the
// files that the commands name.
func startTranscripts(t *testing.T, node *eventlogtest.Node) (dir, address string) {
	t.Helper()
	dir = t.TempDir()
	key, err := provider.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	_, public, err := key.Write(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"event.json":   `{"event":"meeting.started","meeting":{"id":"m1","sessionId":"s1","title":"Stand-up"}}`,
		"text.json":    "hello",
		"new.json":     `{"event":"poll.created","meeting":{"id":"m1"}}`,
		"large.json":   strings.Repeat(" ", 256<<10+1),
		"standard.txt": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/key" {
			http.NotFound(w, r)
			return
		}
		w.Write(pem)
	}))
	t.Cleanup(keys.Close)
	log, err := natslog.Open(t.Context(), node.JetStream(t), natslog.Config{StoreDir: node.Dir()})
	if err != nil {
		t.Fatal(err)
	}
	h, err := ingest.New(ingest.Config{Log: log, KeyTransport: keys.Client().Transport, Sources: []ingest.Source{
		{Name: "prod", Scheme: ingest.SchemeRSA, Key: public},
		{Name: "mine", Scheme: ingest.SchemeRSA, Key: public, WebhookIDs: []string{"w1"}},
		{Name: "standard", Scheme: ingest.SchemeStandard, Key: filepath.Join(dir, "standard.txt")},
		{Name: "slow", Scheme: ingest.SchemeRSA, Key: public, Rate: 0.01, Burst: 1},
		{Name: "keyless", Scheme: ingest.SchemeRSA, Key: keys.URL + "/nothing"},
		{Name: "remote", Scheme: ingest.SchemeRSA, Key: keys.URL + "/key"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return dir, serveIngest(t, h)
}

// serveIngest serves h on a free port until the test ends, and says where.
func serveIngest(t *testing.T, h *ingest.Handler) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- h.Run(ctx) }()
	go func() { done <- ingest.Serve(ctx, l, h, ingest.ServerConfig{}) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// runShell runs a command of the document. sign is what the document says it
// is; where there is no curl, a stand-in of ours is.
func runShell(t *testing.T, dir, command string) string {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		command = strings.ReplaceAll(command, "curl ", "curl-stand-in ")
	}
	script := "sign() { sign-body private.pem \"$1\"; }\n" + command
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, &errs)
	}
	return strings.ReplaceAll(out.String(), "\r\n", "\n")
}

// signBody prints the signature of a file, for a shell: sign-body KEY FILE. It
// stands in for openssl, which not every machine has.
func signBody() {
	s, err := provider.ReadKey(os.Args[1])
	if err == nil {
		var b []byte
		var text string
		if b, err = os.ReadFile(os.Args[2]); err == nil {
			if text, err = s.Sign(b); err == nil {
				fmt.Println(text)
				return
			}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// curlStandIn does what TestTranscripts asks of curl, and no more.
func curlStandIn() {
	if err := standIn(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func standIn(args []string) error {
	method, url := http.MethodPost, ""
	var headers strings.Builder
	var body []byte
	out := io.Writer(os.Stdout)
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-i":
		case "-X":
			i++
			method = args[i]
		case "-o":
			i++
			out = io.Discard
		case "-H":
			i++
			headers.WriteString(args[i] + "\r\n")
		case "--data-binary":
			i++
			var err error
			if body, err = os.ReadFile(strings.TrimPrefix(args[i], "@")); err != nil {
				return err
			}
		default:
			url = args[i]
		}
	}
	host, path, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return err
	}
	defer conn.Close()
	request := fmt.Sprintf("%s /%s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %d\r\n\r\n", method, path, host, headers.String(), len(body))
	// The server may answer, and close, before it has read all.
	go func() { _, _ = conn.Write(append([]byte(request), body...)) }()
	in := bufio.NewReader(conn)
	length := 0
	for {
		text, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		fmt.Fprint(out, text)
		_, _ = fmt.Sscanf(text, "Content-Length: %d", &length)
		if text == "\r\n" {
			_, err := io.CopyN(out, in, int64(length))
			return err
		}
	}
}
