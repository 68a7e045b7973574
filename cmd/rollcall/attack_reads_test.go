package main

import (
	"bytes"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/node"
	"rollcall/eventlog"
)

// fillStream takes every consumer that a stream has, with the rights of the
// program itself, and drops those that others hold.
func fillStream(t *testing.T, js jetstream.JetStream, name string, enough func() bool) {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); !enough(); {
		if time.Now().After(end) {
			t.Fatalf("stream %s still has consumers for others after a minute", name)
		}
		for info := range stream.ListConsumers(t.Context()).Info() {
			if info.Config.Description != "test" {
				_ = stream.DeleteConsumer(t.Context(), info.Name) // its owner may have been faster
			}
		}
		for err = nil; err == nil; {
			_, err = stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Description: "test", MemoryStorage: true, InactiveThreshold: time.Hour})
		}
		if console.APICode(err) != console.CodeConsumers {
			t.Fatalf("CreateConsumer on a full stream = %v; want error %d", err, console.CodeConsumers)
		}
	}
}

// fullOnce is enough for fillStream after one round.
func fullOnce() func() bool {
	full := false
	return func() bool {
		defer func() { full = true }()
		return full
	}
}

// readiness is what /readyz?verbose answers.
func readiness(t *testing.T, n *node.Node) (int, string) {
	t.Helper()
	res, err := client.Get("http://" + n.Addresses().Admin + "/readyz?verbose")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// TestAttackNoConsumerLeft: somebody with a role takes the last consumer of the
// log. Who can't read any more says so: a projector is not ready, a process that
// also takes webhooks notes it and takes them, a command says what it waits for and
// ends.
func TestAttackNoConsumerLeft(t *testing.T) {
	t.Parallel()
	all := testNode(t, t.TempDir(), "--nats-listen", "127.0.0.1:0", "--views", "recordings",
		"--nats-users", writeFile(t, "users.yaml", []byte("users:\n  - {name: p, password: password-of-p, role: projector}\n")))
	runNode(t, all)
	postStarted(t, all, "a")
	url := all.Addresses().NATS
	login := writeFile(t, "login", []byte("p:password-of-p\n"))
	projecting := testNode(t, t.TempDir(), "--target", "project", "--views", "sessions", "--nats-url", url, "--nats-login-file", login)
	runNode(t, projecting)
	nc, err := all.Embedded.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	fillStream(t, js, eventlog.Stream, func() bool {
		return len(all.Reads.Stuck(console.SayAfter)) > 0 && len(projecting.Reads.Stuck(console.SayAfter)) > 0
	})
	const why = "stream MEETINGS can't be read: make consumer on MEETINGS: nats: API error: code=400 err_code=10026"
	if code, text := readiness(t, projecting); code != http.StatusServiceUnavailable || !strings.Contains(text, "[-]reads: "+why) {
		t.Errorf("/readyz of the projector = %d, %s; want 503 and the reason", code, text)
	}
	if code, text := readiness(t, all); code != http.StatusOK || !strings.Contains(text, "[+]reads: "+why) {
		t.Errorf("/readyz of the process that takes webhooks = %d, %s; want 200 and a note", code, text)
	}
	postStarted(t, all, "b")

	// A consumer that another command left can end while this one runs: then it has read, and is
	// run again against a full stream.
	const tries = 50
	run := func(args []string) (problems string, err error) {
		for range tries {
			fillStream(t, js, eventlog.Stream, fullOnce())
			if args[1] == "export" {
				args[2] = filepath.Join(t.TempDir(), "export")
			}
			var out, said bytes.Buffer
			a := &app{args: args, IO: &console.IO{Ctx: t.Context(), Env: func(string) (string, bool) { return "", false }, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &said, Patience: console.SayAfter + time.Second}}
			if err = a.Patiently(a.run); err != nil {
				return said.String(), err
			}
		}
		return "", nil
	}
	for _, args := range [][]string{
		{"events", "list", "--nats-url", url, "--nats-login-file", login},
		{"events", "export", "", "--nats-url", url, "--nats-login-file", login},
		{"verify", "sessions", "--nats-url", url, "--nats-login-file", login},
	} {
		problems, err := run(args)
		if console.ExitCode(err) != console.ExitFailed || !strings.Contains(err.Error(), "given up after 3s") {
			t.Errorf("%s = %v; want it given up", args[:2], err)
		}
		if !strings.Contains(problems, "rollcall: waiting: "+why) {
			t.Errorf("stderr of %s = %q; want a word on what it waits for", args[:2], problems)
		}
	}
}
