//go:build chaos

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/eventlog/natslog"
	"rollcall/eventlog/wire"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

var (
	projectorKills = flag.Int("projector-kills", 200, "kill -9s of TestChaosProjectorKilled")
	serverKills    = flag.Int("server-kills", 50, "kill -9s of TestChaosServerKilled")
	projectorRuns  = flag.Int("projector-runs", 10, "faults of each other chaos test of the projector")
)

// projectHead is what stands above the rows of these tests. Wrong: views in
// which verify found a difference in the end.
const projectHead = "fault                                                       runs  records  epochs  wrong"

// chaosBed is Rollcall as processes on a server of its own, with traffic.
type chaosBed struct {
	url, dir, port string
	server         *process
	ingester       *process
	traffic        *process
}

// newBed starts a server and an ingester, and traffic that does not end.
func newBed(t *testing.T, rate int) *chaosBed {
	t.Helper()
	b := &chaosBed{dir: t.TempDir()}
	b.url, b.server = plainNATS(t, b.dir, "0")
	u, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	b.port = u.Port()
	b.ingester = startServe(t, "ingest", "--target=ingest", "--nats-url", b.url, "--source", "test=none", "--data-dir", t.TempDir())
	b.traffic = start(t, "simulate", "rollcall", "simulate", "--url", "http://"+b.ingester.at.Ingest+"/webhooks/test", "--seed", fmt.Sprint(rand.Uint32()),
		"--sessions", "100000", "--duplicates", "0.1", "--arrivals", "600", "--rate", fmt.Sprint(rate), "-o", "json")
	return b
}

func (b *chaosBed) project(t *testing.T, name string) *process {
	t.Helper()
	return startServe(t, name, "--target=project", "--nats-url", b.url)
}

// killServer is kill -9 of the server, and a start on the same files and port.
func (b *chaosBed) killServer(t *testing.T) {
	t.Helper()
	b.server.kill()
	_, b.server = plainNATS(t, b.dir, b.port)
}

// reader connects the test itself, with all rights.
func (b *chaosBed) js(t *testing.T) jetstream.JetStream {
	t.Helper()
	_, js := dial(t, b.url)
	return js
}

// settle ends the traffic, waits until every view holds every record, verifies
// all of them, and reports a row.
func (b *chaosBed) settle(t *testing.T, fault string, runs int) {
	t.Helper()
	b.traffic.stop()
	cliCommand(t, "status", "--wait", "180s", "--nats-url", b.url)
	verify := exec.Command("rollcall", "verify", "--nats-url", b.url, "-o", "json")
	var out, errs bytes.Buffer
	verify.Stdout, verify.Stderr = &out, &errs
	err := verify.Run()
	var views []projector.Verified
	if jerr := json.Unmarshal(out.Bytes(), &views, json.MatchCaseInsensitiveNames(true)); jerr != nil || len(views) == 0 {
		t.Fatalf("verify: %v, %v\n%s", err, jerr, &errs)
	}
	wrong, records := 0, uint64(0)
	for _, v := range views {
		records = max(records, v.Records)
		if len(v.Differences) > 0 || v.Parked > 0 {
			wrong++
			t.Logf("view %s: %d parked, differences %+v", v.View, v.Parked, v.Differences)
		}
	}
	if err != nil && wrong == 0 {
		t.Fatalf("verify: %v\n%s", err, &errs)
	}
	reader, epochs := viewstore.NewReader(b.js(t)), uint64(0)
	for _, v := range views {
		cp, err := reader.Checkpoint(t.Context(), v.Bucket)
		if err != nil {
			t.Fatal(err)
		}
		epochs += cp.Epoch
	}
	row := fmt.Sprintf("%-58s %5d %8d %7d %6d", fault, runs, records, epochs, wrong)
	t.Logf("\n%s\n%s", projectHead, row)
	if wrong > 0 || records == 0 {
		t.Error("see the line above: no view may be wrong, and there must be records")
	}
	writeRow(t, row)
}

// TestChaosProjectorKilled runs a process for each view and kills them at
// random moments: at their start, while they wait for the lease of the one
// killed before, as they take over, when live.
func TestChaosProjectorKilled(t *testing.T) {
	b := newBed(t, 200)
	type slot struct {
		p   *process
		due time.Time
	}
	next := func(view string, i int) slot {
		return slot{
			start(t, fmt.Sprintf("%s-%d", view, i), "rollcall", "serve", "--target=project", "--views", view, "--nats-url", b.url, "--admin-addr", "127.0.0.1:0"),
			time.Now().Add(time.Duration(rand.Int64N(int64(8 * time.Second)))),
		}
	}
	slots := map[string]slot{}
	for _, view := range viewNames() {
		slots[view] = next(view, 0)
	}
	for i := range *projectorKills {
		var first string
		for view, s := range slots {
			if first == "" || s.due.Before(slots[first].due) {
				first = view
			}
		}
		if err := wire.Pause(t.Context(), time.Until(slots[first].due)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-slots[first].p.ended:
			t.Errorf("%s ended by itself:\n%s", slots[first].p.name, slots[first].p.log)
		default:
		}
		slots[first].p.kill()
		slots[first] = next(first, i+1)
	}
	b.settle(t, "kill -9 of a projector", *projectorKills)
}

// TestChaosServerKilled kills the server at random moments, under traffic.
func TestChaosServerKilled(t *testing.T) {
	b := newBed(t, 200)
	b.project(t, "project-1")
	b.project(t, "project-2")
	for range *serverKills {
		sometime(t, 2*time.Second)
		b.killServer(t)
	}
	b.settle(t, "kill -9 of the server", *serverKills)
}

// stealing is a store whose projector takes the lease whoever has it: what a
// lease holds back, the fence alone must hold.
type stealing struct{ *viewstore.Store }

func (s stealing) Acquire(ctx context.Context, c projector.LeaseRequest) (*projector.Lease, error) {
	c.Steal = true
	return s.Store.Acquire(ctx, c)
}

// TestChaosProjectorsFight lets two projectors of each view, and those of a
// process, take the view from each other as often as they can.
func TestChaosProjectorsFight(t *testing.T) {
	b := newBed(t, 200)
	b.project(t, "project")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error)
	fighters := 0
	for range 2 {
		js := b.js(t)
		log, err := natslog.Attach(ctx, js)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		store, err := viewstore.Open(ctx, js, viewstore.Config{Logger: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		for _, fold := range allFolds() {
			p, err := projector.New(projector.Config{Projection: fold, Source: log, Store: stealing{store}, Logger: zerolog.Nop()})
			if err != nil {
				t.Fatal(err)
			}
			fighters++
			go func() { ended <- p.Run(ctx) }()
		}
	}
	// Five take-overs of one view for each run.
	reader := viewstore.NewReader(b.js(t))
	var cp projector.Checkpoint
	limit := time.Now().Add(5 * time.Minute)
	for cp.Epoch < uint64(5**projectorRuns) && time.Now().Before(limit) {
		var err error
		if cp, err = reader.Checkpoint(ctx, viewstore.Bucket("sessions", 1)); err != nil {
			t.Fatal(err)
		}
		if err := wire.Pause(ctx, 50*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	for range fighters {
		if err := <-ended; err != nil {
			t.Errorf("Run() of a fighter = %v; want no error", err)
		}
	}
	b.settle(t, "three projectors of each view fight, lease ignored by two", int(cp.Epoch))
}

// TestChaosProjectorStopped stops the active process (SIGSTOP) until the other
// has taken over all views, and lets it go on with what it had in its hands.
func TestChaosProjectorStopped(t *testing.T) {
	b := newBed(t, 300)
	pair := [2]*process{b.project(t, "project-1"), b.project(t, "project-2")}
	for i := range *projectorRuns {
		active, other := pair[i%2], pair[1-i%2]
		if i == 0 && !active.active("sessions") {
			pair[0], pair[1] = pair[1], pair[0]
			active, other = other, active
		}
		sometime(t, 500*time.Millisecond)
		if err := active.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		waitState(t, other, "live", "catching-up")
		sometime(t, time.Second)
		if err := active.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		waitState(t, active, "standby")
	}
	b.settle(t, "SIGSTOP of the active one, take-over, SIGCONT", *projectorRuns)
}

// waitState waits until a process is in one of the states with every view.
func waitState(t *testing.T, p *process, states ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, view := range viewNames() {
		for !containsState(states, p.state(view)) {
			if err := wire.Pause(ctx, 20*time.Millisecond); err != nil {
				t.Fatalf("%s is %q with %s; want %v", p.name, p.state(view), view, states)
			}
		}
	}
}

func containsState(states []string, s string) bool {
	return strings.Contains(" "+strings.Join(states, " ")+" ", " "+s+" ")
}

// TestChaosServerKilledInEveryState kills the server while a generation is
// staged, catching up, ready, promoted, rolled back, dropped and aborted.
func TestChaosServerKilledInEveryState(t *testing.T) {
	b := newBed(t, 300)
	b.project(t, "project")
	sometime(t, 5*time.Second)
	kills := 0
	// each runs a command again and again until it does what it does: a kill in
	// the middle may end it with an error, and that must do no harm.
	each := func(done string, args ...string) {
		t.Helper()
		args = append(args, "--nats-url", b.url)
		for try := 0; ; try++ {
			cmd := exec.Command("rollcall", args...)
			out, err := cmd.CombinedOutput()
			if err == nil || strings.Contains(string(out), done) {
				return
			}
			if try == 20 {
				t.Fatalf("rollcall %s: %v\n%s", strings.Join(args, " "), err, out)
			}
			sometime(t, 500*time.Millisecond)
		}
	}
	for range max(1, *projectorRuns/5) {
		for _, state := range []string{"staging", "catching-up", "ready"} {
			rebuild := start(t, "rebuild-"+state, "rollcall", "rebuild", "sessions", "--hold", "--max-per-second", "2000", "-o", "json", "--nats-url", b.url)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			for state != "staging" && !strings.Contains(rebuild.log.String(), `"state":"`+state+`"`) {
				if err := wire.Pause(ctx, 5*time.Millisecond); err != nil {
					t.Fatalf("rebuild is never %s:\n%s", state, rebuild.log)
				}
			}
			cancel()
			sometime(t, 200*time.Millisecond)
			b.killServer(t)
			kills++
			if state != "ready" {
				rebuild.kill()
				each("no such generation", "abort", "sessions") // nothing to abort where it was not yet staged
				continue
			}
			// The rebuild goes on over it, or is killed and goes on when it is
			// called again; promoted by hand either way.
			rebuild.kill()
		}
		for _, command := range [][]string{{"promote", "sessions"}, {"rollback", "sessions"}, {"drop", "sessions"}} {
			killed := make(chan struct{})
			go func() {
				defer close(killed)
				_ = wire.Pause(t.Context(), time.Duration(rand.Int64N(int64(time.Second))))
				b.server.kill()
			}()
			out, _ := exec.Command("rollcall", append(command, "--nats-url", b.url)...).CombinedOutput() // it may be hit
			<-killed
			_, b.server = plainNATS(t, b.dir, b.port)
			kills++
			t.Logf("%s, hit: %s", command[0], bytes.TrimSpace(out))
			if command[0] == "promote" { // whatever the hit did, it is active from here on
				each("no generation of sessions is ready", "promote", "sessions")
				b.killServer(t)
				kills++
			}
		}
		each("no such generation", "drop", "sessions")
		each("no such generation", "abort", "sessions")
	}
	b.settle(t, "kill -9 of the server in every state of a rebuild", kills)
}
