package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/natsd"
	"rollcall/eventlog/wire"
)

// remedies are the rows of OPERATIONS' table of errors.
func remedies() map[string]remedy {
	return map[string]remedy{
		"data directory … is in use by another rollcall":                                   embeddedOnly(directoryInUse),
		"data directory … holds half of an import":                                         embeddedOnly(halfImport),
		"port of --ingest-addr is in use":                                                  everywhere(portInUse),
		"no NATS server at …":                                                              everywhere(noServer),
		"the NATS user may not do what --target=… needs":                                   externalOnly(wrongRole),
		"--max-body …: the NATS server takes records of at most …":                         everywhere(bodyTooLarge),
		"NATS at … refused the connection":                                                 everywhere(refusedLogin),
		"NATS server can't hold the log: JetStream is off":                                 externalOnly(noJetStream),
		"NATS server can't hold the log: it is version …":                                  externalOnly(oldServer),
		"stream MEETINGS has other settings":                                               everywhere(otherSettings),
		"stream KV_… lacks allow_atomic":                                                   everywhere(noAtomic),
		"bucket was removed":                                                               everywhere(bucketRemoved),
		"source … has no signature, and --ingest-addr … is not loopback":                   everywhere(unsignedSource),
		"key file …: …":                                                                    everywhere(badKey),
		"view was made by another version of its fold":                                     everywhere(otherVersion),
		"log is another incarnation":                                                       everywhere(otherLog),
		"log lost records that were already read":                                          everywhere(lostTail),
		"log is damaged":                                                                   embeddedOnly(logDamaged),
		"log no longer holds the next record":                                              everywhere(trimmed),
		"another projector has taken over":                                                 externalOnly(takenOver),
		"corrupt state":                                                                    everywhere(corruptState),
		"another rebuild is under way":                                                     everywhere(rebuildBusy),
		"rebuild was aborted":                                                              everywhere(rebuildAborted),
		"no such generation":                                                               everywhere(noGeneration),
		"generation is behind the current one":                                             everywhere(generationBehind),
		"the view's store lost what was committed":                                         everywhere(lostView),
		"entity can't be written":                                                          everywhere(unwritable),
		"alias was moved by somebody else":                                                 everywhere(aliasMoved),
		"log … begins at record N, so a new generation would lack what came before":        everywhere(beginsLater),
		"move alias of VIEW: …; look at rollcall status":                                   everywhere(moveUnanswered),
		"live; not all changes were published on plain subjects":                           everywhere(unpublished),
		"the alias of VIEW was deleted; a projector makes it again":                        everywhere(aliasDeleted),
		"this needs the rights of an operator":                                             embeddedOnly(noRights),
		"host … is not known here":                                                         everywhere(unknownHost),
		"the copy of the views can't be written: make space on its disk":                   everywhere(replicaFull),
		"replica is damaged: it is wiped and loaded again":                                 everywhere(replicaDamaged),
		"stream … can't be read: …: maximum consumers limit reached":                       everywhere(consumersFull),
		"--nats-listen: nats address … is not loopback and nobody has to show credentials": embeddedOnly(openNATSPort),
		"…: too many for a process that may open … files (ulimit -n)":                      everywhere(tooManyConnections),
		"…: open log: change stream settings: …":                                           embeddedOnly(changeOfSettings),
	}
}

// logDamaged has a disk flip a bit below a server that runs.
func logDamaged(w *world) {
	w.filled("a", "b", "c")
	data := w.dir + "/data"
	path := data + "/nats/jetstream/ROLLCALL/streams/MEETINGS/msgs/1.blk"
	b, err := os.ReadFile(path)
	w.must(err)
	w.must(poke(path, bytes.Index(b, []byte(`"sessionId":"b"`))+13, []byte{'x'}))
	w.fails(console.ExitDifference, "1 record can't be read", "events", "scan", "--data-dir", data)
	for began := time.Now(); ; { // the server has the block in memory for some seconds
		code, _, errs := w.command(w.at("events", "export", "-")...)
		if code == console.ExitFailed && strings.Contains(errs, "log is damaged") {
			break
		}
		if time.Since(began) > time.Minute || wire.Pause(w.t.Context(), time.Second) != nil {
			w.t.Fatalf("export = %d, %s; want it to say that the log is damaged", code, errs)
		}
	}
	w.fails(console.ExitDifference, "record 2", w.at("events", "scan")...)
	w.fails(console.ExitDifference, "left out, damaged: records 2 to 2", w.at("events", "export", w.dir+"/some.ndjson", "--skip-damaged")...)
	w.post("more")
	w.program.stop()
	w.works("events", "scan", "--repair", "--data-dir", data)
	w.serve()
	w.works(w.at("verify", "--repair")...)
	w.repaired("sessions")
}

func directoryInUse(w *world) {
	w.serve()
	w.fails(console.ExitFailed, "is in use by another rollcall", w.serveArgs()...)
	w.restart()
}

func halfImport(w *world) {
	export := filepath.Join(w.dir, "log.ndjson")
	w.filled("a", "b")
	w.works(w.at("events", "export", export)...)
	w.program.stop()
	b, err := os.ReadFile(export)
	w.must(err)
	half := filepath.Join(w.dir, "half")
	p := startWith(w.t, launch{stdin: endless(w.t, b)}, "import", "rollcall", "events", "import", "-", "--data-dir", half)
	waitFile(w.t, natsd.ImportMark(half))
	p.kill()
	w.fails(console.ExitFailed, "holds half of an import", append(w.serveArgs(), "--data-dir", half)...)
	w.works("events", "import", export, "--data-dir", half)
	w.serve("--data-dir", half)
}

func portInUse(w *world) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	defer l.Close()
	w.fails(console.ExitFailed, "port of --ingest-addr is in use", append(w.serveArgs(), "--ingest-addr", l.Addr().String())...)
	w.serve("--ingest-addr", "127.0.0.1:0")
}

func noServer(w *world) {
	w.fails(console.ExitUnreachable, "no NATS server at", "status", "--nats-url", "nats://127.0.0.1:1")
	if !w.embedded {
		port := w.url[strings.LastIndex(w.url, ":")+1:]
		w.nats.kill()
		w.fails(console.ExitUnreachable, "no NATS server at", w.serveArgs()...)
		w.startNATS(port)
	}
	w.serve()
	w.works(w.at("status")...)
}

// natsWith runs a server of its own with a configuration.
func (w *world) natsWith(config string) {
	w.nats.kill()
	w.startNATS("0", "-c", writeFile(w.t, "nats.conf", []byte(config)))
}

func wrongRole(w *world) {
	w.natsWith(`authorization {users: [
		{user: ingester, password: password, permissions: {publish: {deny: ["$JS.API.STREAM.CREATE.*", "$KV.>"]}}}
		{user: projector, password: password}
	]}`)
	w.serve("--target", "ingest", "--nats-login-file", writeFile(w.t, "p", []byte("projector:password\n")))
	args := append(w.serveArgs("--target", "project"), "--ingest-addr", "127.0.0.1:0", "--nats-login-file")
	w.fails(console.ExitUnreachable, "the NATS user may not do what --target=project needs", append(args, writeFile(w.t, "i", []byte("ingester:password\n")))...)
	w.serve("--target", "project", "--nats-login-file", writeFile(w.t, "p", []byte("projector:password\n")))
}

func bodyTooLarge(w *world) {
	w.fails(console.ExitUsage, "the NATS server takes records of at most", append(w.serveArgs("--source", "test=none"), "--max-body", "2MiB")...)
	if w.embedded {
		w.serve("--max-body", "512KiB")
		return
	}
	w.natsWith("max_payload: 4MB")
	w.serve("--max-body", "2MiB")
}

func refusedLogin(w *world) {
	wrong := writeFile(w.t, "wrong", []byte("somebody:else\n"))
	if !w.embedded {
		w.natsWith("authorization {user: me, password: password}")
		w.fails(console.ExitUnreachable, "refused the connection", w.serveArgs()...)
		w.fails(console.ExitUnreachable, "refused the connection", append(w.serveArgs(), "--nats-login-file", wrong)...)
		w.serve("--nats-login-file", writeFile(w.t, "right", []byte("me:password\n")))
		return
	}
	w.serve()
	w.fails(console.ExitUnreachable, "refused the connection", w.at("status", "--nats-login-file", wrong)...)
	w.works(w.at("status", "--nats-login-file", w.login())...)
}

func noJetStream(w *world) {
	ports := w.t.TempDir()
	p := start(w.t, "plain", "nats-server", "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", ports)
	w.url = "nats://" + portOf(w.t, p, filepath.Join(ports, "*.ports"))
	w.fails(console.ExitFailed, "JetStream", w.serveArgs()...)
	p.kill()
	w.startNATS(w.url[strings.LastIndex(w.url, ":")+1:])
	w.serve()
}

func oldServer(w *world) {
	direct := w.url
	w.url = startBetween(w.t, direct, nil, func(b []byte) []byte { // as an old server says it
		return bytes.Replace(b, []byte(`"version":"2.1`), []byte(`"version":"2.0`), 1)
	})
	w.fails(console.ExitFailed, "it is version", w.serveArgs()...)
	w.url = direct
	w.serve()
}

func otherSettings(w *world) {
	w.filled("a")
	stream, err := w.js().Stream(w.t.Context(), "MEETINGS")
	w.must(err)
	c := stream.CachedInfo().Config
	c.AllowDirect = false
	_, err = w.js().UpdateStream(w.t.Context(), c)
	w.must(err)
	w.fails(console.ExitFailed, "allow_direct is false, want true", w.at("events", "list")...)
	c.AllowDirect = true // what the line names is set back
	_, err = w.js().UpdateStream(w.t.Context(), c)
	w.must(err)
	w.restart()
	w.repaired("sessions")
	if w.embedded {
		return
	}
	w.program.stop()
	w.must(w.js().DeleteStream(w.t.Context(), "MEETINGS"))
	_, err = w.js().CreateStream(w.t.Context(), jetstream.StreamConfig{Name: "MEETINGS", Subjects: []string{"of.others"}})
	w.must(err)
	w.fails(console.ExitFailed, "has other settings", w.serveArgs()...)
	w.must(w.js().DeleteStream(w.t.Context(), "MEETINGS")) // it is removed
	w.serve()
}

// change changes a view's bucket as somebody else might.
func (w *world) change(bucket string, do func(*jetstream.StreamConfig)) {
	w.t.Helper()
	stream, err := w.js().Stream(w.t.Context(), "KV_"+bucket)
	w.must(err)
	c := stream.CachedInfo().Config
	do(&c)
	_, err = w.js().UpdateStream(w.t.Context(), c)
	w.must(err)
}

func noAtomic(w *world) {
	w.filled("a")
	w.change("sessions_g1", func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false })
	w.restart()
	w.says("sessions", "lacks allow_atomic")
	w.says("sessions", "rollcall rebuild sessions")
	w.post("b")
	w.works(w.at("rebuild", "sessions")...)
	w.repaired("sessions")
}

func bucketRemoved(w *world) {
	w.filled("a")
	if w.embedded {
		// A projector runs: it makes the bucket again by itself, and a rebuild works
		// at any moment of that.
		w.must(w.js().DeleteStream(w.t.Context(), "KV_sessions_g1"))
		w.works(w.at("rebuild", "sessions")...)
		w.repaired("sessions")
		return
	}
	w.program.stop() // nobody makes it again
	w.must(w.js().DeleteStream(w.t.Context(), "KV_sessions_g1"))
	w.fails(console.ExitNotFound, "bucket was removed", w.at("views", "get", "sessions", "a")...)
	if out := w.works(w.at("status")...); !strings.Contains(out, "bucket was removed") || !strings.Contains(out, "rollcall rebuild sessions") {
		w.t.Errorf("status says\n%s\nwant that the bucket was removed, and what to run", out)
	}
	w.works(w.at("rebuild", "sessions")...)
	w.serve()
	w.repaired("sessions")
}

func unsignedSource(w *world) {
	args := append(w.serveArgs("--source", "x=none"), "--ingest-addr", "0.0.0.0:0")
	w.fails(console.ExitUsage, "has no signature, and --ingest-addr", args...)
	w.serve("--ingest-addr", "0.0.0.0:0", "--insecure")
}

func badKey(w *world) {
	keys := w.t.TempDir()
	w.works("keygen", keys)
	w.fails(console.ExitUsage, "key file", w.serveArgs("--source", "x=rsa:"+keys+"/private.pem")...)
	w.fails(console.ExitUsage, "key file", w.serveArgs("--source", "x=rsa:"+writeFile(w.t, "nonsense", []byte("nonsense")))...)
	w.serve("--source", "x=rsa:"+keys+"/public.pem")
}

// edit changes a document of the bucket of aliases and generations.
func (w *world) edit(key string, do func(map[string]jsontext.Value)) {
	w.t.Helper()
	kv, err := w.js().KeyValue(w.t.Context(), "rollcall")
	w.must(err)
	e, err := kv.Get(w.t.Context(), key)
	w.must(err)
	doc := map[string]jsontext.Value{}
	w.must(json.Unmarshal(e.Value(), &doc))
	do(doc)
	b, err := json.Marshal(doc)
	w.must(err)
	_, err = kv.Put(w.t.Context(), key, b)
	w.must(err)
}

// held is a rebuild that waits for its promotion.
func (w *world) held() *process {
	w.t.Helper()
	p := w.background(w.at("rebuild", "sessions", "--hold", "-o", "json")...)
	p.waitFor(w.t, `"state":"ready"`)
	return p
}

func rebuildBusy(w *world) {
	w.filled("a")
	p := w.held()
	w.fails(console.ExitFailed, "another rebuild is under way", w.at("rebuild", "sessions")...)
	w.works(w.at("abort", "sessions")...)
	<-p.ended
	w.works(w.at("rebuild", "sessions")...)
	w.repaired("sessions")
}

func rebuildAborted(w *world) {
	w.filled("a")
	p := w.held()
	w.works(w.at("abort", "sessions")...)
	p.waitFor(w.t, "rebuild was aborted")
	<-p.ended
	w.works(w.at("rebuild", "sessions")...)
	w.repaired("sessions")
}

func noGeneration(w *world) {
	w.filled("a")
	w.fails(console.ExitNotFound, "no such generation", w.at("promote", "sessions")...)
	w.fails(console.ExitNotFound, "no such generation", w.at("rollback", "sessions")...)
	w.works(w.at("rebuild", "sessions")...)
	if out := w.works(w.at("status")...); !strings.Contains(out, "retired") || !strings.Contains(out, "sessions_g1") {
		w.t.Errorf("status says\n%s\nwant the retired generation", out)
	}
	w.works(w.at("rollback", "sessions")...)
	w.repaired("sessions")
}

func aliasMoved(w *world) {
	w.filled("a")
	w.works(w.at("rebuild", "sessions")...)
	one, two := w.background(w.at("rollback", "sessions")...), w.background(w.at("rollback", "sessions")...)
	<-one.ended
	<-two.ended
	codes := []int{one.cmd.ProcessState.ExitCode(), two.cmd.ProcessState.ExitCode()}
	slices.Sort(codes)
	said := one.log.String() + two.log.String()
	if slices.Equal(codes, []int{console.ExitDone, console.ExitDone}) {
		w.t.Skip("the two did not meet") // one was done before the other looked
	}
	if !strings.Contains(said, "alias was moved by somebody else") {
		w.t.Errorf("two rollbacks at once say\n%s\nwant that one lost", said)
	}
	if out := w.works(w.at("status")...); !strings.Contains(out, "sessions_g1") {
		w.t.Errorf("status says\n%s\nwant sessions_g1 again", out)
	}
	w.repaired("sessions")
}

func beginsLater(w *world) {
	w.filled("a", "b")
	w.trim()
	w.fails(console.ExitFailed, "so a new generation would lack what came before", w.at("rebuild", "sessions")...)
	w.works(w.at("rebuild", "sessions", "--carry")...)
	w.says("sessions", "live, ")
	for _, session := range []string{"a", "b"} {
		w.works(w.at("views", "get", "sessions", session)...)
	}
	w.works(w.at("verify", "sessions")...)
}

// through is a command whose traffic goes through a proxy.
func (w *world) through(proxy string, args ...string) []string {
	args = append(args, "--nats-url", proxy)
	if w.embedded {
		args = append(args, "--nats-login-file", w.login())
	}
	return args
}

func moveUnanswered(w *world) {
	w.filled("a")
	w.works(w.at("rebuild", "sessions")...)
	var moved atomic.Bool
	proxy := startBetween(w.t, w.url, func(b []byte) []byte {
		if bytes.Contains(b, []byte("PUB $KV.rollcall.alias.sessions")) {
			moved.Store(true)
		}
		return b
	}, func(b []byte) []byte {
		if moved.Load() {
			return nil
		}
		return b
	})
	w.fails(console.ExitUnreachable, "move alias of sessions", w.through(proxy, "rollback", "sessions")...)
	if out := w.works(w.at("status")...); !strings.Contains(out, "sessions_g1") {
		w.t.Errorf("status says\n%s\nwant what became of it: sessions_g1", out)
	}
	w.repaired("sessions")
}

func unpublished(w *world) {
	w.filled("a")
	w.works(w.at("rebuild", "sessions")...)
	var moved, deaf atomic.Bool
	proxy := startBetween(w.t, w.url, func(b []byte) []byte {
		switch {
		case bytes.Contains(b, []byte("PUB $KV.rollcall.alias.sessions")):
			moved.Store(true)
		case moved.Load() && (bytes.Contains(b, []byte("STREAM.INFO.KV_sessions")) || bytes.Contains(b, []byte("CONSUMER.CREATE.KV_sessions"))):
			deaf.Store(true)
		}
		return b
	}, func(b []byte) []byte {
		if deaf.Load() {
			return nil
		}
		return b
	})
	code, _, errs := w.command(w.through(proxy, "rollback", "sessions")...)
	if code != console.ExitDone || !strings.Contains(errs, "not all changes were published on plain subjects") {
		w.t.Errorf("rollback whose announcements fail = %d, %s; want it done, with a warning", code, errs)
	}
	w.repaired("sessions")
}

func aliasDeleted(w *world) {
	w.filled("a")
	if !w.embedded {
		w.program.stop()
	}
	kv, err := w.js().KeyValue(w.t.Context(), "rollcall")
	w.must(err)
	w.must(kv.Delete(w.t.Context(), "alias.sessions"))
	if !w.embedded {
		if out := w.works(w.at("status")...); !strings.Contains(out, "the alias of sessions was deleted; a projector makes it again") {
			w.t.Errorf("status says\n%s\nwant that the alias was deleted", out)
		}
		w.serve()
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for {
		if e, err := kv.Get(ctx, "alias.sessions"); err == nil && bytes.Contains(e.Value(), []byte("sessions_g1")) {
			break
		}
		w.must(wire.Pause(ctx, 20*time.Millisecond))
	}
	w.repaired("sessions")
}

func noRights(w *world) {
	w.filled("a")
	login := w.login()
	other := &world{t: w.t, embedded: true, cache: w.t.TempDir(), url: w.url} // another user of the machine
	other.fails(console.ExitUnreachable, "this needs the rights of an operator", other.at("rebuild", "sessions")...)
	other.works(other.at("rebuild", "sessions", "--nats-login-file", login)...)
	w.repaired("sessions")
}

func unknownHost(w *world) {
	w.serve()
	ask := func() string {
		out, err := curl(w.t, "rollcall.example", "http://"+w.program.at.API+"/v1/projections")
		w.must(err)
		return out
	}
	if out := ask(); !strings.Contains(out, "is not known here") || !strings.Contains(out, "--api-host") {
		w.t.Errorf("GET by another name = %s; want what to do", out)
	}
	w.restart("--api-host", "rollcall.example")
	if out := ask(); !strings.Contains(out, `"items"`) {
		w.t.Errorf("GET by the name that was added = %s; want the projections", out)
	}
}
