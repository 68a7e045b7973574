package backup

import (
	"context"
	"errors"
	"fmt"

	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
)

// Continue begins the seal of an export of log that goes on where the one with the
// seal from ends; an empty one is a whole export. It refuses a log that is not the
// one that was exported.
func Continue(ctx context.Context, log *natslog.Log, from *Seal) (Seal, error) {
	head, err := log.Head(ctx)
	if err != nil {
		return Seal{}, fmt.Errorf("read head of log: %w", err)
	}
	s := Seal{Export: sealFormat, Incarnation: head.Incarnation, After: from.Last, AfterID: from.LastID}
	if s.After == 0 {
		return s, nil
	}
	if from.Incarnation != "" && from.Incarnation != head.Incarnation {
		return s, fmt.Errorf("%w: --after names an export of log %s, and this is log %s; export it whole, without --after", eventlog.ErrIncarnation, from.Incarnation, head.Incarnation)
	}
	if s.After > head.Last {
		return s, fmt.Errorf("%w: --after names record %d, and the log ends with %d; export it whole, without --after", eventlog.ErrLostTail, s.After, head.Last)
	}
	r, err := log.Record(ctx, s.After)
	if errors.Is(err, eventlog.ErrNotFound) && s.After+1 == head.First {
		return s, nil // a limit has just removed it; the next one is there
	}
	if err != nil {
		return s, fmt.Errorf("read record %d, which --after names: %w; where the log's limits have removed it, export it whole, without --after", s.After, err)
	}
	if s.AfterID != "" && s.AfterID != r.EventID {
		return s, fmt.Errorf("%w: record %d is event %s, and the export that --after names has %s there; export the log whole, without --after", eventlog.ErrLostTail, s.After, r.EventID, s.AfterID)
	}
	s.AfterID = r.EventID
	return s, nil
}
