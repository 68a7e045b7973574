package backup

import (
	"errors"
	"testing"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// TestContinueKnowsTheLog: an export goes on in the log that it began in, or not at all.
func TestContinueKnowsTheLog(t *testing.T) {
	js := eventlogtest.Connect(t)
	log, err := eventlogtest.Made(func() (*natslog.Log, error) {
		return natslog.Open(t.Context(), js, natslog.Config{Batch: natslog.BatchConfig{Timeout: eventlogtest.Patience}})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	all := records(1, 5)
	for i := range all {
		if _, err := log.Append(t.Context(), &all[i]); err != nil {
			t.Fatal(err)
		}
	}
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	third := all[2].EventID
	for what, c := range map[string]struct {
		from Seal
		want error
	}{
		"whole":                   {Seal{}, nil},
		"by number":               {Seal{Last: 3}, nil},
		"by export":               {Seal{Last: 3, LastID: third, Incarnation: head.Incarnation}, nil},
		"by export without seal":  {Seal{Last: 3, LastID: third}, nil},
		"of another log":          {Seal{Last: 3, LastID: third, Incarnation: "another"}, eventlog.ErrIncarnation},
		"of a log that went back": {Seal{Last: 3, LastID: "another", Incarnation: head.Incarnation}, eventlog.ErrLostTail},
		"after the end":           {Seal{Last: 6, Incarnation: head.Incarnation}, eventlog.ErrLostTail},
	} {
		got, err := Continue(t.Context(), log, &c.from)
		if !errors.Is(err, c.want) || err != nil && c.want == nil {
			t.Errorf("Continue %s = %v; want %v", what, err, c.want)
		}
		if err == nil && (got.Incarnation != head.Incarnation || got.After != c.from.Last || c.from.Last == 3 && got.AfterID != third) {
			t.Errorf("Continue %s = %+v; want the log, %d and its event id", what, got, c.from.Last)
		}
	}
}

// TestContinueWhereALimitRemovedTheLast: an export goes on with the first record
// that is left where that is the next one, and not where some lack.
func TestContinueWhereALimitRemovedTheLast(t *testing.T) {
	js := eventlogtest.Connect(t)
	log, err := eventlogtest.Made(func() (*natslog.Log, error) {
		return natslog.Open(t.Context(), js, natslog.Config{Batch: natslog.BatchConfig{Timeout: eventlogtest.Patience}})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	all := records(1, 5)
	for i := range all {
		if _, err := log.Append(t.Context(), &all[i]); err != nil {
			t.Fatal(err)
		}
	}
	eventlogtest.Limit(t, js, eventlog.Stream, 2)
	if got, err := Continue(t.Context(), log, &Seal{Last: 3}); err != nil || got.After != 3 {
		t.Errorf("Continue after record 3 of a log that begins with 4 = %+v, %v; want what comes after 3", got, err)
	}
	if got, err := Continue(t.Context(), log, &Seal{Last: 2}); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("Continue after record 2 of a log that begins with 4 = %+v, %v; want %v", got, err, eventlog.ErrNotFound)
	}
}
