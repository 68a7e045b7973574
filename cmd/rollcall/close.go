package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/eventlog/wire"
	"rollcall/projections"
	"rollcall/projector"
	"rollcall/projector/viewstore"
	"rollcall/query/closing"
)

// closeCmd is `rollcall close`.
type closeCmd struct {
	attach.OperatorFlags
	console.OutputFlag `set:"timezone=Time zone that the month is one of (default: UTC)."`
	Month              string        `arg:"" help:"The month, like 2026-10."`
	Again              bool          `help:"Close the month again if it is closed already; both closings stay."`
	Wait               time.Duration `help:"How long to wait for the views to hold what the log holds." default:"30s" placeholder:"DURATION"`
}

// Help is the command's example.
func (closeCmd) Help() string {
	return `Keeps a month's usage as it is now, by day, organizer and session. What changes later shows beside it, session by session,
in /v1/closings/ID of the read API. A closing is never changed; ` + "`rollcall verify --closing ID`" + ` compares it with the log.

Examples:
  rollcall close 2026-10 --timezone Europe/Berlin
  rollcall close 2026-10 --timezone Europe/Berlin --again`
}

// Run closes the month.
func (c *closeCmd) Run(a *app) (err error) {
	_, end, err := closing.ParseMonth(c.Month)
	if err != nil {
		return console.Usagef("%w", err)
	}
	zone := c.Timezone.Or(time.UTC)
	l, err := c.Attach(a.Ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	made, err := c.make(a.Ctx, l, zone)
	if err != nil {
		return err
	}
	existing, err := closing.NewStore(l.JetStream).Save(a.Ctx, made, c.Again)
	if errors.Is(err, closing.ErrExists) {
		return fmt.Errorf("close %s in %s: %w: %s, at record %d; --again closes it once more", c.Month, zone, err, existing.ID, existing.Sequence)
	}
	if err != nil {
		return attach.NeedRights(fmt.Errorf("close %s in %s: %w", c.Month, zone, err), l.Conn)
	}
	if now := time.Now().In(zone); now.Before(time.Date(end.Year, end.Month, 1, 0, 0, 0, 0, zone)) {
		fmt.Fprintf(a.Stderr, "%s is not over in %s: what comes will show as changes\n", c.Month, zone)
	}
	return c.show(a.Stdout, made)
}

func (c *closeCmd) show(w io.Writer, made *closing.Closing) error {
	g := &console.Grid{Columns: []string{"id", "month", "timezone", "sequence", "sessions", "participantSeconds", "attendedSeconds", "recordingSeconds"}, Whole: []string{"id"}, Least: []string{"month", "timezone"}}
	g.Add(made.ID, made.Month, made.Timezone, made.Sequence, made.Sessions, made.ParticipantSeconds.Float(), made.AttendedSeconds.Float(), made.RecordingSeconds.Float())
	return c.Print(w, g)
}

// make adds up the month from the views, once they hold what the log holds now.
func (c *closeCmd) make(ctx context.Context, l *attach.Attached, zone *time.Location) (*closing.Closing, error) {
	head, err := l.Log.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("read head of log: %w", err)
	}
	h := closing.Head{Month: c.Month, Timezone: zone.String(), Incarnation: head.Incarnation, ClosedAt: eventlog.TimeOf(time.Now()),
		Sequences: map[string]eventlog.Seq{}, Versions: map[string]string{}}
	reader := viewReader{reader: viewstore.NewReader(l.JetStream), least: head.Last, wait: c.Wait, head: &h}
	sessions, err := read[projections.UsageSession](ctx, reader, closing.ViewUsage)
	if err != nil {
		return nil, err
	}
	recordings, err := read[projections.Recording](ctx, reader, closing.ViewRecordings)
	if err != nil {
		return nil, err
	}
	h.Sequence = min(h.Sequences[closing.ViewUsage], h.Sequences[closing.ViewRecordings])
	return closing.Make(h, zone, maps.Values(sessions), maps.Values(recordings))
}

// viewReader reads whole views for a closing, and notes in its head what they are.
type viewReader struct {
	reader *viewstore.Reader
	least  eventlog.Seq
	wait   time.Duration
	head   *closing.Head
}

// read returns a view's documents by key.
func read[D projections.Document](ctx context.Context, v viewReader, view string) (map[string]D, error) {
	fold, err := foldOf(view)
	if err != nil {
		return nil, err
	}
	if err := v.await(ctx, view); err != nil {
		return nil, err
	}
	docs := map[string][]byte{}
	g, cp, err := v.reader.View(ctx, view, func() { clear(docs) }, func(key string, value []byte) {
		if docs[key] = value; value == nil {
			delete(docs, key)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read view %s: %w", view, viewError(err, view))
	}
	if g.Version != fold.Version() {
		return nil, fmt.Errorf("%w: %s holds version %s, this program folds version %s; run `rollcall rebuild %s` first, or close with the program that made it",
			projector.ErrVersion, g.Bucket, g.Version, fold.Version(), view)
	}
	if cp.Incarnation != "" && cp.Incarnation != v.head.Incarnation {
		return nil, fmt.Errorf("%w: view %s was folded from log %s, this is log %s; run `rollcall rebuild %[2]s` first", eventlog.ErrIncarnation, view, cp.Incarnation, v.head.Incarnation)
	}
	v.head.Sequences[view], v.head.Versions[view] = cp.Sequence, g.Version
	v.head.Horizon = max(v.head.Horizon, cp.Horizon, cp.Sweeping)
	parsed := make(map[string]D, len(docs))
	for key, doc := range docs {
		if parsed[key], err = projections.Parse[D](doc); err != nil {
			return nil, fmt.Errorf("read view %s: %s: %w", view, key, err)
		}
	}
	return parsed, nil
}

// awaitEvery is how often a view that is awaited is looked at.
const awaitEvery = 100 * time.Millisecond

// await returns once a view holds the record least.
func (v viewReader) await(ctx context.Context, view string) error {
	late := time.Now().Add(v.wait)
	for {
		alias, err := v.reader.Alias(ctx, view)
		if err != nil {
			return viewError(err, view)
		}
		cp, err := v.reader.Checkpoint(ctx, alias.Bucket)
		if err != nil {
			return viewError(err, view)
		}
		if cp.Sequence >= v.least {
			return nil
		}
		if time.Now().After(late) {
			return fmt.Errorf("view %s holds record %d, the log ends at %d; wait for it with `rollcall status --wait 5m`, and run it again", view, cp.Sequence, v.least)
		}
		if err := wire.Pause(ctx, awaitEvery); err != nil {
			return err
		}
	}
}
