package main

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/eventlog/wire"
)

// logged waits until a process has logged a text.
func (w *world) logged(p *process, text string) {
	w.t.Helper()
	for began := time.Now(); !strings.Contains(p.log.String(), text); {
		if time.Since(began) > time.Minute {
			w.t.Fatalf("%s does not log %q:\n%s", p.name, text, p.log)
		}
		w.must(wire.Pause(w.t.Context(), 20*time.Millisecond))
	}
}

// answers waits until the read API answers with the session's title.
func (w *world) answers(session string) {
	w.t.Helper()
	for began := time.Now(); ; {
		res, err := client.Get("http://" + w.program.at.API + "/v1/sessions/" + session)
		w.must(err)
		body := bodyText(w.t, res)
		if res.StatusCode == http.StatusOK {
			if !bytes.Contains(body, []byte(`"title":"t"`)) {
				w.t.Fatalf("session %s = %s; want the title as it was sent", session, body)
			}
			return
		}
		if time.Since(began) > time.Minute {
			w.t.Fatalf("session %s = %d, %s; want it after a minute", session, res.StatusCode, body)
		}
		w.must(wire.Pause(w.t.Context(), 20*time.Millisecond))
	}
}

// replicaFull fills the disk of the read API's copy, and makes space again.
func replicaFull(w *world) {
	disk := smallDisk(w.t, "8m")
	ballast := filepath.Join(disk, "ballast")
	w.serve("--replica-dir", filepath.Join(disk, "replica"))
	w.post("a")
	w.answers("a")
	w.must(os.WriteFile(ballast, nil, 0o600))
	f, err := os.OpenFile(ballast, os.O_WRONLY, 0)
	w.must(err)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	w.must(f.Close())
	for i := 0; !strings.Contains(w.program.log.String(), "the copy of the views can't be written"); i++ {
		w.post("more-" + strings.Repeat("x", 1+i%50)) // ingest goes on
	}
	w.must(os.Remove(ballast))
	w.post("z")
	w.answers("z")
}

// replicaDamaged changes bits of the copy. What is damaged is not answered, and
// it is loaded again by itself.
func replicaDamaged(w *world) {
	replica := w.t.TempDir()
	w.serve("--replica-dir", replica)
	w.post("a", "b")
	w.answers("a")
	w.program.stop()
	changed := false
	w.must(filepath.WalkDir(replica, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasPrefix(d.Name(), "replica.db") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(b, []byte(`"title":"t"`)) {
			return err
		}
		changed = true
		return os.WriteFile(path, bytes.ReplaceAll(b, []byte(`"title":"t"`), []byte(`"title":"u"`)), 0o600)
	}))
	if !changed {
		w.t.Fatal("the copy holds no such document")
	}
	p := w.serve("--replica-dir", replica)
	w.answers("a")
	if log := p.log.String(); !strings.Contains(log, "damaged") {
		w.t.Errorf("the log says nothing of the damage:\n%s", log)
	}
}

// consumersFull takes all consumers of the log, and gives them back.
func consumersFull(w *world) {
	w.filled("a")
	js := w.js()
	fills := 0
	fillStream(w.t, js, eventlog.Stream, func() bool { fills++; return fills > 1 })
	list := w.background(w.at("events", "list")...)
	w.logged(list, "maximum consumers limit reached")
	list.kill()
	w.post("b") // ingest needs none
	stream, err := js.Stream(w.t.Context(), eventlog.Stream)
	w.must(err)
	for info := range stream.ListConsumers(w.t.Context()).Info() {
		if info.Config.Description == "test" {
			w.must(stream.DeleteConsumer(w.t.Context(), info.Name))
		}
	}
	w.works(w.at("events", "list")...)
	w.repaired("sessions")
}

func openNATSPort(w *world) {
	w.fails(console.ExitUsage, "is not loopback and nobody has to show credentials", append(w.serveArgs(), "--nats-listen", "0.0.0.0:0")...)
	users := writeFile(w.t, "users.yaml", []byte("users:\n  - {name: r, password: password-of-r, role: reader}\n"))
	w.serve("--nats-listen", "0.0.0.0:0", "--nats-users", users)
	w.restart("--nats-listen", "0.0.0.0:0", "--insecure")
}

func tooManyConnections(w *world) {
	w.fails(console.ExitUsage, "too many for a process that may open", append(w.serveArgs("--source", "test=none"), "--max-connections", "100000000")...)
	w.serve("--max-connections", "100")
	w.post("a")
}

// changeOfSettings has an ingester with its role alone change the log's limits.
func changeOfSettings(w *world) {
	users := writeFile(w.t, "users.yaml", []byte("users:\n  - {name: i, password: password-of-i, role: ingester}\n"))
	w.serve("--nats-users", users)
	login := writeFile(w.t, "login", []byte("i:password-of-i\n"))
	ingest := []string{"serve", "--target=ingest", "--nats-url", w.url, "--nats-login-file", login, "--source", "test=none",
		"--ingest-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--data-dir", w.t.TempDir()}
	w.fails(console.ExitFailed, "open log: change stream settings: ", append(ingest, "--max-age", "48h")...)
	ready := filepath.Join(w.t.TempDir(), "ready.json")
	w.background(append(ingest, "--ready-file", ready)...)
	_, err := waitReady(w.t.Context(), ready, time.Minute)
	w.must(err)
	// Or once as an operator: the limit is set, and kept.
	w.restart("--nats-users", users, "--max-age", "48h")
	var stream jetstream.Stream
	stream, err = w.js().Stream(w.t.Context(), eventlog.Stream)
	w.must(err)
	if got := stream.CachedInfo().Config.MaxAge; got != 48*time.Hour {
		w.t.Errorf("max age of the log = %s; want 48h", got)
	}
}
