//go:build chaos && linux

package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/eventlog/wire"
)

var (
	chaosKills = flag.Int("kills", 200, "kill -9s of each chaos test that kills an ingester")
	chaosRuns  = flag.Int("runs", 20, "faults of each other chaos test of the ingester")
	chaosStop  = flag.Duration("stop", 10*time.Second, "how long TestChaosServerStopped stops the server")
)

// sometime waits for a random moment.
func sometime(t *testing.T, limit time.Duration) {
	t.Helper()
	if err := wire.Pause(t.Context(), rand.N(limit)); err != nil {
		t.Fatal(err)
	}
}

// TestChaosIngestKilled kills the all-in-one process at random moments under
// load. Every 200 is in the log, once, as the answer said, and no forgery is.
func TestChaosIngestKilled(t *testing.T) {
	s, key := newSenders(t)
	data := filepath.Join(t.TempDir(), "data")
	stop := s.start(t, 16)
	for i := range *chaosKills {
		p := startServe(t, fmt.Sprintf("serve-%d", i), "--data-dir", data, "--source", "prod=rsa:"+key, "--nats-listen", "")
		s.aim(p.at.Ingest)
		sometime(t, 500*time.Millisecond)
		p.kill()
	}
	stop()
	s.check(t, "kill -9 of the all-in-one process", *chaosKills, "--data-dir", data)
}

// TestChaosIngesterSteps kills the ingester alone at each step of a delivery,
// while others are under way. The server behind it goes on.
func TestChaosIngesterSteps(t *testing.T) {
	for _, step := range []string{
		stepArrived, stepVerified, stepHalfSent, stepSent, stepAcknowledged, stepAppended, stepHalfAnswered, stepAnswered,
	} {
		t.Run(strings.ReplaceAll(step, " ", "-"), func(t *testing.T) {
			url, _ := plainNATS(t, t.TempDir(), "0")
			s, key := newSenders(t)
			stop := s.start(t, 32)
			runs := max(1, *chaosKills/8)
			for i := range runs {
				ready := filepath.Join(t.TempDir(), "ready.json")
				t.Setenv(failStep, step)
				t.Setenv(failAt, fmt.Sprint(1+rand.IntN(60)))
				t.Setenv(failNATS, url)
				t.Setenv(failKey, key)
				t.Setenv(failReady, ready)
				p := start(t, fmt.Sprintf("failing-%d", i), "failing-ingester")
				at, err := waitReady(t.Context(), ready, time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				s.aim(at.Ingest)
				select {
				case <-p.ended:
				case <-time.After(time.Minute):
					t.Fatalf("the step %q was not reached", step)
				}
			}
			// The end of the last one was seen by those that sent to it: their
			// deliveries are taken by one that does not fail.
			last := startServe(t, "last", "--target=ingest", "--nats-url", url, "--source", "prod=rsa:"+key, "--data-dir", t.TempDir())
			s.aim(last.at.Ingest)
			s.progress(t, 1, "an ingester that does not fail")
			stop()
			s.check(t, "kill -9 of the ingester: "+step, runs, "--nats-url", url)
		})
	}
}

// externalIngester is an ingester on a server of its own, seen through nats.
func externalIngester(t *testing.T, name, url, key string) *process {
	t.Helper()
	return startServe(t, name, "--target=ingest", "--nats-url", url, "--source", "prod=rsa:"+key, "--data-dir", t.TempDir())
}

// TestChaosServerStopped stops the NATS server (SIGSTOP) and lets it go on.
func TestChaosServerStopped(t *testing.T) {
	url, server := plainNATS(t, t.TempDir(), "0")
	s, key := newSenders(t)
	p := externalIngester(t, "ingest", url, key)
	s.aim(p.at.Ingest)
	stop := s.start(t, 16)
	runs := max(1, *chaosRuns/10)
	for range runs {
		s.progress(t, 50, "before the server stops")
		if err := server.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if err := wire.Pause(t.Context(), *chaosStop); err != nil {
			t.Fatal(err)
		}
		if err := server.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		s.progress(t, 50, "after the server went on")
	}
	stop()
	s.check(t, fmt.Sprintf("SIGSTOP of the server for %s", *chaosStop), runs, "--nats-url", url)
}

// TestChaosConnection cuts, delays and silently loses the connection between
// the ingester and its server.
func TestChaosConnection(t *testing.T) {
	for _, fault := range []struct {
		name  string
		runs  int
		apply func(t *testing.T, p *proxy)
	}{
		{"cut", *chaosRuns, func(_ *testing.T, p *proxy) { p.cut() }},
		{"delayed by up to 400 ms a packet", *chaosRuns, func(t *testing.T, p *proxy) {
			p.slow(400 * time.Millisecond)
			sometime(t, time.Second)
			p.slow(0)
		}},
		{"half-open", max(1, *chaosRuns/5), func(_ *testing.T, p *proxy) { p.deaden() }},
	} {
		t.Run(strings.Fields(fault.name)[0], func(t *testing.T) {
			url, _ := plainNATS(t, t.TempDir(), "0")
			proxy := startProxy(t, strings.TrimPrefix(url, "nats://"))
			s, key := newSenders(t)
			p := externalIngester(t, "ingest", "nats://"+proxy.address(), key)
			s.aim(p.at.Ingest)
			stop := s.start(t, 24)
			for range fault.runs {
				sometime(t, 300*time.Millisecond)
				fault.apply(t, proxy)
				s.progress(t, 24, "after the connection was "+fault.name)
			}
			stop()
			s.check(t, "NATS connection "+fault.name, fault.runs, "--nats-url", url)
		})
	}
}

// TestChaosTwoIngesters sends each delivery to two ingesters at the same time,
// and kills one of them now and then.
func TestChaosTwoIngesters(t *testing.T) {
	url, _ := plainNATS(t, t.TempDir(), "0")
	s, key := newSenders(t)
	one, two := externalIngester(t, "one", url, key), externalIngester(t, "two", url, key)
	s.aim(one.at.Ingest, two.at.Ingest)
	stop := s.start(t, 16)
	for i := range *chaosRuns {
		s.progress(t, 100, "with two ingesters")
		two.kill()
		two = externalIngester(t, fmt.Sprintf("two-%d", i), url, key)
		s.aim(one.at.Ingest, two.at.Ingest)
	}
	s.progress(t, 100, "with two ingesters")
	stop()
	s.check(t, "two ingesters, each delivery to both; one killed", *chaosRuns, "--nats-url", url)
}

// TestChaosDiskFull fills the disk, again and again.
func TestChaosDiskFull(t *testing.T) {
	runs, answers := max(1, *chaosRuns/5), 0
	for i := range runs {
		if !t.Run(fmt.Sprint(i), func(t *testing.T) { answers += fillDisk(t) }) {
			return
		}
	}
	report(t, "disk full, and space again", runs, answers, 0, 0, 0, 0, 0)
}
