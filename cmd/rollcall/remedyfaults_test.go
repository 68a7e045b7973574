package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go/jetstream"
)

// The faults of a view and of its log that a rebuild mends.

func otherVersion(w *world) {
	w.filled("a")
	version := func(doc map[string]jsontext.Value) { doc["version"] = jsontext.Value(`"0-before"`) }
	w.edit("generation.sessions.1", version)
	w.edit("alias.sessions", version)
	w.restart()
	w.failed("sessions", "view was made by another version of its fold", "rollcall rebuild sessions")
	w.works(w.at("rebuild", "sessions")...)
	w.mended("sessions")
	// By itself, where that was asked for.
	w.edit("generation.attendance.1", version)
	w.edit("alias.attendance", version)
	w.restart("--auto-rebuild")
	w.mended("attendance")
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
	w.mended("sessions")
	w.restart("--auto-rebuild")
	w.mended("attendance")
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
	w.mended("sessions")
	if _, _, errs := w.command(w.at("views", "get", "sessions", "c")...); !strings.Contains(errs, "has no c") {
		w.t.Errorf("views get of a session that the log lost = %s; want it gone", errs)
	}
	w.restart("--auto-rebuild")
	w.mended("attendance")
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
	for !second.active("sessions") {
		w.must(pause(w.t.Context(), 20*time.Millisecond))
	}
	w.program = ingest
	w.post("b")
	w.must(first.cmd.Process.Signal(syscall.SIGCONT))
	first.waitFor(w.t, "another projector has taken over")
	w.post("c")
	for first.state("sessions") != "standby" {
		w.must(pause(w.t.Context(), 20*time.Millisecond))
	}
	for !second.active("sessions") {
		w.must(pause(w.t.Context(), 20*time.Millisecond))
	}
	for {
		if _, out, _ := w.command(w.at("views", "ls", "sessions")...); strings.Contains(out, "live.c") {
			return
		}
		w.must(pause(w.t.Context(), 20*time.Millisecond))
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
	w.mended("sessions")
}
