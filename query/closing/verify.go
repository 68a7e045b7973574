package closing

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rollcall/eventlog"
	"rollcall/projections"
)

// Views are the views that a closing is made from.
const (
	ViewUsage      = "usage"
	ViewRecordings = "recordings"
)

// Verify folds the log up to where a closing was made, and says what differs: before
// is what the closing says, after what the log says. It changes nothing.
func Verify(ctx context.Context, log Log, folds map[string]eventlog.Fold, c *Closing, zone *time.Location, maxBytes int64) ([]Change, error) {
	head, err := log.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("read head of log: %w", err)
	}
	if err := c.Check(head); err != nil {
		return nil, err
	}
	q, err := c.Query(zone)
	if err != nil {
		return nil, err
	}
	r := Replay{Log: log, MaxBytes: maxBytes, Horizon: c.Horizon}
	var recordings []projections.Recording
	r.UpTo = c.Sequences[ViewRecordings]
	err = Documents(ctx, r, folds[ViewRecordings], func(d projections.Recording) { recordings = append(recordings, d) })
	if err != nil {
		return nil, err
	}
	var sessions []projections.UsageSession
	r.UpTo = c.Sequences[ViewUsage]
	err = Documents(ctx, r, folds[ViewUsage], func(d projections.UsageSession) { sessions = append(sessions, d) })
	if err != nil {
		return nil, err
	}
	return Compare(c.Rows, projections.UsageRows(q, slices.Values(sessions), slices.Values(recordings))), nil
}
