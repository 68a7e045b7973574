package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/projections"
)

// boardSession is one that started a number of minutes after ten.
func boardSession(id, status string, minute int) projections.Session {
	at := time.Date(2026, 1, 5, 10, minute, 0, 0, time.UTC)
	s := projections.Session{SessionID: id, Status: status, Title: "Title of " + id, StartedAt: eventlog.TimeOf(at), UniqueParticipants: 3}
	if status == "ENDED" {
		s.EndedAt, s.EndReason = eventlog.TimeOf(at.Add(90*time.Second)), "ALL_PARTICIPANTS_LEFT"
	}
	return s
}

// TestBoardLines: without a terminal each session is a line as it starts and one as it ends.
func TestBoardLines(t *testing.T) {
	var out bytes.Buffer
	b := &board{out: &out, sessions: map[string]projections.Session{}, as: console.TableFlags{UTC: true}}
	for range 2 { // the second time nothing is new
		b.put(boardSession("a", "LIVE", 1))
	}
	for range 2 {
		b.put(boardSession("a", "ENDED", 1))
	}
	want := "2026-01-05 10:01:00 UTC  started  Title of a                   a\n" +
		"2026-01-05 10:02:30 UTC  ended    Title of a                   a  90.0 s, 3 people, ALL_PARTICIPANTS_LEFT\n"
	if out.String() != want {
		t.Errorf("lines = %q; want %q", out.String(), want)
	}
}

// TestBoardIsDrawnAgain: what is drawn takes the place of what was; live sessions
// come first, and ended ones are forgotten when there are many.
func TestBoardIsDrawnAgain(t *testing.T) {
	var out bytes.Buffer
	b := &board{out: &out, live: true, sequence: 7, sessions: map[string]projections.Session{}}
	b.put(boardSession("ended", "ENDED", 5))
	b.put(boardSession("another", "ENDED", 4))
	b.put(boardSession("live", "LIVE", 1))
	now := time.Date(2026, 1, 5, 10, 11, 0, 0, time.UTC)
	b.draw(now)
	first := out.String()
	for _, want := range []string{" 1 live, 3 seen, log at 7; ", "10m0s", "1m30s"} {
		if !strings.Contains(first, want) {
			t.Errorf("the first drawing = %q; want %q in it", first, want)
		}
	}
	if strings.Index(first, "Title of live") > strings.Index(first, "Title of ended") || strings.Contains(first, "\x1b[J") {
		t.Errorf("the first drawing = %q; want the live session first, and nothing cleared", first)
	}
	out.Reset()
	b.draw(now)
	if got, want := out.String(), fmt.Sprintf("\x1b[%dA\x1b[J", strings.Count(first, "\n"))+first; got != want {
		t.Errorf("the second drawing = %q; want %q", got, want)
	}
	for i := range 300 {
		b.put(boardSession(fmt.Sprint("old", i), "ENDED", 0))
	}
	if _, kept := b.sessions["live"]; !kept || len(b.sessions) > 201 {
		t.Errorf("after 300 more, %d sessions are kept, the live one %v; want about 100 with it", len(b.sessions), kept)
	}
	out.Reset()
	b.draw(now)
	if rows := strings.Count(out.String(), "Title of "); rows != boardRows {
		t.Errorf("%d sessions are drawn; want %d", rows, boardRows)
	}
}

// TestPostRate: deliveries are posted as often as it is asked for, and at any rate without.
func TestPostRate(t *testing.T) {
	for perSecond, want := range map[float64]struct {
		limit rate.Limit
		burst int
	}{0: {rate.Inf, 1}, 0.5: {0.5, 1}, 1: {1, 1}, 50: {50, 1}, 200: {200, 4}} {
		if l := limiter(perSecond); l.Limit() != want.limit || l.Burst() != want.burst {
			t.Errorf("limiter(%v) = %v with bursts of %d; want %v, %d", perSecond, l.Limit(), l.Burst(), want.limit, want.burst)
		}
	}
}
