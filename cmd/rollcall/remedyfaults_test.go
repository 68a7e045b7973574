package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/eventlog/wire"
	"rollcall/projector"
)

// The faults of a view and of its log that a rebuild repairs.

func otherVersion(w *world) {
	w.filled("a")
	version := func(doc map[string]jsontext.Value) { doc["version"] = jsontext.Value(`"0-before"`) }
	w.edit("generation.sessions.1", version)
	w.edit("alias.sessions", version)
	w.restart()
	w.failed("sessions", "view was made by another version of its fold", "rollcall rebuild sessions")
	w.works(w.at("rebuild", "sessions")...)
	w.repaired("sessions")
	// By itself, where that was asked for.
	w.edit("generation.attendance.1", version)
	w.edit("alias.attendance", version)
	w.restart("--auto-rebuild")
	w.repaired("attendance")
}

func otherLog(w *world) {
	w.filled("a", "b")
	js := w.js()
	if w.embedded {
		w.must(js.DeleteStream(w.t.Context(), "MEETINGS"))
		w.program.kill()
		w.serve()
	} else {
		w.program.stop()
		w.must(js.DeleteStream(w.t.Context(), "MEETINGS"))
		w.serve()
	}
	w.failed("sessions", "log is another incarnation", "rollcall rebuild sessions")
	w.works(w.at("rebuild", "sessions")...)
	w.repaired("sessions")
	w.restart("--auto-rebuild")
	w.repaired("attendance")
}

// streamDir is where the server keeps the log.
func (w *world) streamDir() string {
	w.t.Helper()
	pattern := w.dir + "/external/jetstream/*/streams/MEETINGS"
	if w.embedded {
		pattern = w.dir + "/data/nats/jetstream/*/streams/MEETINGS"
	}
	found, _ := filepath.Glob(pattern)
	if len(found) != 1 {
		w.t.Fatalf("%s: %v; want one", pattern, found)
	}
	return found[0]
}

// halt stops everything in order; resume starts it again.
func (w *world) halt() {
	w.program.stop()
	if w.nats != nil {
		w.nats.stop()
	}
}

func (w *world) resume(more ...string) {
	w.t.Helper()
	if !w.embedded {
		w.startNATS(w.url[strings.LastIndex(w.url, ":")+1:])
	}
	w.serve(more...)
}

func lostTail(w *world) {
	w.filled("a")
	w.halt()
	saved := filepath.Join(w.dir, "saved")
	w.must(os.CopyFS(saved, os.DirFS(w.streamDir())))
	w.resume()
	w.post("b", "c")
	w.works(w.at("status", "--wait", "30s")...)
	w.halt()
	log := w.streamDir()
	w.must(os.RemoveAll(log))
	w.must(os.CopyFS(log, os.DirFS(saved)))
	w.resume()
	w.failed("sessions", "log lost records that were already read", "rollcall rebuild sessions")
	w.works(w.at("rebuild", "sessions")...)
	w.repaired("sessions")
	if _, _, errs := w.command(w.at("views", "get", "sessions", "c")...); !strings.Contains(errs, "has no c") {
		w.t.Errorf("views get of a session that the log lost = %s; want it gone", errs)
	}
	w.restart("--auto-rebuild")
	w.repaired("attendance")
}

// trim removes all records but the last.
func (w *world) trim() {
	w.t.Helper()
	stream, err := w.js().Stream(w.t.Context(), "MEETINGS")
	w.must(err)
	c := stream.CachedInfo().Config
	for _, most := range []int64{1, -1} {
		c.MaxMsgs = most
		_, err := w.js().UpdateStream(w.t.Context(), c)
		w.must(err)
	}
}

func trimmed(w *world) {
	w.filled("a")
	w.restart("--views", "usage")
	w.post("b", "c", "d")
	w.trim()
	w.restart()
	w.failed("sessions", "log no longer holds the next record", "rollcall rebuild sessions --carry")
	w.works(w.at("rebuild", "sessions", "--carry")...)
	w.says("sessions", "live, ")
	for _, session := range []string{"a", "d"} { // copied, and folded
		w.works(w.at("views", "get", "sessions", session)...)
	}
	w.restart("--auto-rebuild")
	w.says("attendance", "live, ")
}

func takenOver(w *world) {
	w.serve("--target", "ingest")
	ingest := w.program
	project := func() *process { return w.serve("--target", "project", "--views", "sessions") }
	first := project()
	second := project()
	w.must(first.cmd.Process.Signal(syscall.SIGSTOP))
	waitFor(w.t, "the second takes over", func() bool { return second.active("sessions") })
	w.program = ingest
	w.post("b")
	w.must(first.cmd.Process.Signal(syscall.SIGCONT))
	first.waitFor(w.t, "another projector has taken over")
	w.post("c")
	waitFor(w.t, "one projects and the other stands by", func() bool { // which of them does is nobody's promise
		return first.state("sessions") == "standby" && second.active("sessions") || second.state("sessions") == "standby" && first.active("sessions")
	})
	for {
		if _, out, _ := w.command(w.at("views", "ls", "sessions")...); strings.Contains(out, "live.c") {
			return
		}
		w.must(wire.Pause(w.t.Context(), 20*time.Millisecond))
	}
}

func corruptState(w *world) {
	w.filled("a")
	js := w.js()
	stream, err := js.Stream(w.t.Context(), "KV_sessions_g1")
	w.must(err)
	info, err := stream.Info(w.t.Context(), jetstream.WithSubjectFilter("rollcall.state.sessions_g1.e.>"))
	w.must(err)
	if len(info.State.Subjects) == 0 {
		w.t.Fatal("the view keeps no states")
	}
	w.program.stop()
	if w.embedded { // it can be changed while it runs only
		w.serve("--views", "usage")
		js = w.js()
	}
	for subject := range info.State.Subjects {
		_, err := js.Publish(w.t.Context(), subject, []byte("garbage"))
		w.must(err)
	}
	if w.embedded {
		w.program.stop()
	}
	w.serve()
	w.post("a")
	w.says("sessions", "corrupt state")
	w.says("sessions", "rollcall rebuild sessions")
	w.works(w.at("rebuild", "sessions")...)
	w.repaired("sessions")
}

func generationBehind(w *world) {
	w.filled("a")
	w.works(w.at("rebuild", "sessions")...)
	w.generationHolds("sessions", 2, 1)
	version := func(v string) func(map[string]jsontext.Value) {
		return func(doc map[string]jsontext.Value) { doc["version"] = jsontext.Value(strconv.Quote(v)) }
	}
	w.edit("generation.sessions.1", version("0-before")) // nobody here follows it any more
	w.restart()
	w.post("b")
	w.generationHolds("sessions", 2, 2)
	w.fails(console.ExitFailed, "generation is behind the current one", w.at("rollback", "sessions")...)
	w.edit("generation.sessions.1", version(allFolds()[0].Version())) // a projector of its version runs
	w.generationHolds("sessions", 1, 2)
	w.works(w.at("rollback", "sessions")...)
	w.repaired("sessions")
	// Or readers step back.
	w.edit("generation.sessions.2", version("0-before"))
	w.restart()
	w.post("c")
	w.generationHolds("sessions", 1, 4)
	w.fails(console.ExitFailed, "add --force", w.at("rollback", "sessions")...)
	w.works(w.at("rollback", "sessions", "--force")...)
	if out := w.works(w.at("views", "ls")...); !strings.Contains(out, "sessions_g2") {
		w.t.Errorf("views ls after rollback --force says\n%s\nwant sessions_g2", out)
	}
}

func lostView(w *world) {
	w.filled("a")
	stream, err := w.js().Stream(w.t.Context(), "KV_sessions_g1")
	w.must(err)
	w.must(stream.Purge(w.t.Context()))
	w.post("b")
	w.program.waitFor(w.t, "the view's store lost what was committed")
	w.repaired("sessions")
	for _, session := range []string{"a", "b"} {
		w.works(w.at("views", "get", "sessions", session)...)
	}
}

// unerasable is a fold with a bug: what is over can't leave.
type unerasable struct{ eventlog.Fold }

func (f unerasable) New(key string) eventlog.State {
	s := f.Fold.New(key)
	a, aging := s.(projector.Aging)
	d, degradable := s.(projector.Degradable)
	if !aging || !degradable {
		return s
	}
	return unerasableState{a, d}
}

type unerasableState struct {
	projector.Aging
	projector.Degradable
}

// Erase implements projector.Aging.
func (unerasableState) Erase(eventlog.Writer) { panic("bug") }

func unwritable(w *world) {
	args := []string{"--view-max-age", "1s"}
	if !w.embedded {
		args = append(args, "--nats-url", w.url)
	}
	n := testNode(w.t, w.dir+"/data", args...)
	n.Folds[0] = unerasable{n.Folds[0]}
	var log lockedBuffer
	n.Logger = zerolog.New(&log)
	stop := runNode(w.t, n)
	postEvent(w.t, n, "meeting.ended", "a")
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for !strings.Contains(log.String(), "entity can't be written") {
		w.must(wire.Pause(ctx, 20*time.Millisecond))
	}
	postEvent(w.t, n, "meeting.started", "a")
	postEvent(w.t, n, "meeting.started", "b")
	for !strings.Contains(noteOf(w.t, n, "sessions"), "sequence 3 of 3") {
		w.must(wire.Pause(ctx, 20*time.Millisecond))
	}
	w.must(stop())
	w.serve() // with a corrected fold
	if out := w.works(w.at("parked", "list", "sessions")...); !strings.Contains(out, "bug") {
		w.t.Errorf("parked list says\n%s\nwant the record of the entity that could not be written", out)
	}
	w.works(w.at("parked", "retry", "sessions")...)
	w.repaired("sessions")
}
