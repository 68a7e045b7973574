package main

import (
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/projector/viewstore"
)

// readyzText is what /readyz?verbose says.
func readyzText(t *testing.T, p *process) string {
	t.Helper()
	res, err := client.Get("http://" + p.at.Admin + "/readyz?verbose")
	if err != nil {
		t.Fatal(err)
	}
	return string(bodyText(t, res))
}

// TestStatesAfterARebuild: once a generation is dropped nothing speaks of it any
// more, and what is live is called so everywhere.
func TestStatesAfterARebuild(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	w := newWorld(t, true)
	w.filled("a")
	views := viewNames()
	for _, view := range views {
		w.works(w.at("rebuild", view)...)
	}
	w.post("b")
	for _, view := range views { // the one before is followed on
		w.generationHolds(view, 1, 2)
		w.works(w.at("drop", view)...)
	}
	w.post("c")
	w.works(w.at("status", "--wait", "30s")...)
	for began := time.Now(); time.Since(began) < 2*time.Second; { // until everybody knows
		for _, line := range strings.Split(readyzText(t, w.program), "\n") {
			if strings.Contains(line, "project ") && !strings.Contains(line, "live, ") && !strings.Contains(line, "catching-up, ") {
				t.Fatalf("/readyz says %q after a generation was dropped", line)
			}
		}
	}
	for _, view := range views {
		w.says(view, "live, ")
	}
	for began := time.Now(); ; { // the processes say how they are every second
		var s status
		if err := json.Unmarshal([]byte(w.works(w.at("status", "-o", "json")...)), &s); err != nil {
			t.Fatal(err)
		}
		wrong := ""
		for _, v := range s.Projections {
			if v.State != "live" || v.Problem != "" || len(v.Generations) != 1 || v.Generations[0].Generation != 2 {
				t.Errorf("status of %s = %+v; want generation 2, live and alone", v.Name, v)
			}
		}
		for _, p := range s.Processes {
			wrong += strings.Join(p.Problems, "; ")
		}
		if len(s.Processes) == 1 && wrong == "" {
			break
		}
		if time.Since(began) > eventlogtest.Patience {
			t.Fatalf("the processes say %q; want one without a problem", wrong)
		}
	}
	w.says("sessions", "live, ")
}

// TestStatusUnderTraffic: a view that holds what came after the log was looked at is no
// view of a log that lost its tail.
func TestStatusUnderTraffic(t *testing.T) {
	client := attach.ClientFlags{NATSURL: filledServer(t)}
	l, err := client.Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	head, err := l.Log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	head.Last -= 2
	fold, err := foldOf("sessions")
	if err != nil {
		t.Fatal(err)
	}
	v, err := viewLook{js: l.JetStream, reader: viewstore.NewReader(l.JetStream), log: l.Log, head: head}.at(t.Context(), fold)
	if err != nil || v.State != "live" || v.Problem != "" || v.HeadSequence != 4 || v.Lag != 0 {
		t.Errorf("a view at record 4, of a log that ended at 2 a moment ago = %+v, %v; want it live, at record 4 of 4", v, err)
	}
}

// TestStatusOfAViewThatFails: status says what is wrong, what to run, and what the
// process says, in every form.
func TestStatusOfAViewThatFails(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	w := newWorld(t, false)
	w.filled("a")
	w.program.stop()
	if err := w.js().DeleteStream(t.Context(), "MEETINGS"); err != nil {
		t.Fatal(err)
	}
	w.serve()
	w.says("sessions", "failed: ")
	for began := time.Now(); ; {
		var s status
		if err := json.Unmarshal([]byte(w.works(w.at("status", "-o", "json")...)), &s); err != nil {
			t.Fatal(err)
		}
		v := s.Projections[0]
		if v.State != "failed" || !strings.Contains(v.Problem, "rollcall rebuild sessions") {
			t.Fatalf("status of a view of another log = %+v; want it failed, and what to run", v)
		}
		if len(s.Processes) == 1 && strings.Contains(strings.Join(s.Processes[0].Problems, ";"), "it can't go on folding sessions") {
			return
		}
		if time.Since(began) > eventlogtest.Patience {
			t.Fatalf("the processes say %+v; want that sessions can't be folded on", s.Processes)
		}
	}
}

// generationHolds waits until a generation holds a record.
func (w *world) generationHolds(view string, generation int, seq eventlog.Seq) {
	w.t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; {
		var s status
		w.must(json.Unmarshal([]byte(w.works(w.at("status", "-o", "json")...)), &s))
		for _, v := range s.Projections {
			for _, g := range v.Generations {
				if v.Name == view && g.Generation == generation && g.Sequence >= seq {
					return
				}
			}
		}
	}
	w.t.Fatalf("generation %d of %s does not hold record %d", generation, view, seq)
}

// TestViewsThatCanNotBeOpened: a store that can't hold views is no reason to
// refuse webhooks, and is tried again.
func TestViewsThatCanNotBeOpened(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	w := newWorld(t, false)
	w.filled("a")
	w.program.stop()
	w.change("rollcall", func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false })
	w.serve()
	w.says("sessions", "failed: ")
	w.post("b")
	w.change("rollcall", func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = true })
	w.repaired("sessions")
}
