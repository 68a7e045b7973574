package replica

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"rollcall/projector/viewstore"
	"rollcall/query/pace"
)

const (
	// auditEvery is how often the copy is audited unless Config says otherwise.
	auditEvery = time.Hour
	// auditRows are compared at once, and auditPerSecond in a second: a few
	// percent of a core.
	auditRows      = 500
	auditPerSecond = 2000
	// auditSuspects bounds what is looked at once more at an audit's end; where
	// more differs, the copy is wrong for certain.
	auditSuspects = 10_000
	// auditMost bounds an audit.
	auditMost = 2 * time.Hour
	// lookWait bounds a look's wait for a copy that is made again.
	lookWait = 2 * time.Second
	// auditWait bounds the wait for the copy to reach the view.
	auditWait = 30 * time.Second
)

// What an audit comes to, as in the metric.
const (
	auditEqual     = "equal"
	auditDifferent = "different"
	auditFailed    = "failed"
)

// errMoved says that an audit came to nothing: another generation is current, or
// the copy was loaded again meanwhile.
var errMoved = errors.New("the view moved during the audit")

// audits compares the copy with the views from time to time, one view after the
// other. What differs is loaded again.
func (c *copier) audits(ctx context.Context) error {
	every := c.config.AuditEvery
	if every == 0 {
		every = auditEvery
	}
	if every < 0 {
		return nil
	}
	for {
		if err := pace.Wait(ctx, every); err != nil {
			return err
		}
		for _, t := range c.tables {
			c.audit(ctx, t)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
}

// audit compares the copy of one view with the view, and has it loaded again where
// it is wrong.
func (c *copier) audit(ctx context.Context, t *Table) {
	states, _ := c.Progress()
	s := states[t.View]
	if !s.Loaded() || s.Loading > 0 {
		return
	}
	a := &audit{copier: c, table: t, state: s}
	differing, err := a.run(ctx)
	log := c.config.Log.With().Str(keyView, t.View).Str(keyBucket, s.Bucket).Int(keyRows, a.rows).Logger()
	var row *DamagedRowError
	switch {
	case errors.As(err, &row), err == nil && differing > 0:
		c.counts.audits.WithLabelValues(t.View, auditDifferent).Inc()
		log.Error().Int(keyDiffering, differing).AnErr("cause", err).Msg("the copy of a view differs from it and is loaded again")
		c.reload(t.View)
	case ctx.Err() != nil || errors.Is(err, errMoved):
	case err != nil:
		c.counts.audits.WithLabelValues(t.View, auditFailed).Inc()
		log.Warn().Err(err).Msg("the copy of a view could not be audited")
		if damaged(c.file, err) {
			c.file.report(err)
		}
	default:
		c.counts.audits.WithLabelValues(t.View, auditEqual).Inc()
		log.Debug().Msg("the copy of a view is equal to it")
	}
}

// audit is one comparison. The view comes in the order of its revisions, each
// key once, and so do the copy's rows by their index. Both go on meanwhile, so
// what differs is a suspect, looked at again once the copy holds all that the
// audit has read.
type audit struct {
	*copier
	table    *Table
	state    Progress
	done     uint64 // revisions up to it are compared
	rows     int
	batch    map[string]viewstore.Change
	suspects map[string]suspect
}

// suspect is what the view has of a key or, where it has nothing, the row that
// the copy has.
type suspect struct {
	inView   bool
	revision uint64
	sum      int64 // of the view's document
}

// run compares all of the view, and returns how many keys differ.
func (a *audit) run(ctx context.Context) (differing int, err error) {
	ctx, cancel := context.WithTimeout(ctx, auditMost)
	defer cancel()
	a.batch, a.suspects = map[string]viewstore.Change{}, map[string]suspect{}
	for c, err := range a.config.Views.Follow(ctx, a.table.View, viewstore.Position{}) {
		if err != nil {
			return 0, fmt.Errorf("audit replica: %w", err)
		}
		switch {
		case c.Bucket != a.state.Bucket || c.Kind == viewstore.Reset && a.done > 0:
			return 0, errMoved
		case c.Kind == viewstore.Reset:
			clear(a.batch)
		case c.Kind == viewstore.Put:
			a.batch[c.Key] = c
		}
		whole := c.Kind == viewstore.Commit
		if !whole && len(a.batch) < auditRows {
			continue
		}
		if err := a.compare(ctx, c.Revision); err != nil {
			return 0, err
		}
		if len(a.suspects) > auditSuspects {
			return len(a.suspects), nil
		}
		if whole {
			return a.verdict(ctx, c.Revision)
		}
		if err := pace.Wait(ctx, time.Second*auditRows/auditPerSecond); err != nil {
			return 0, err
		}
	}
	return 0, ctx.Err()
}

// look reads the copy, as long as it is the one that the audit began with.
func (a *audit) look(ctx context.Context, f func(ctx context.Context, s *Snapshot) error) error {
	return a.Read(ctx, Need{Views: []string{a.table.View}, Wait: lookWait}, func(ctx context.Context, s *Snapshot) error {
		if s.states[a.table.View].Table != a.state.Table {
			return errMoved
		}
		return f(ctx, s)
	})
}

// compare compares the view's changes after done, up to a revision, with the copy's
// rows there.
func (a *audit) compare(ctx context.Context, upTo uint64) error {
	err := a.look(ctx, func(ctx context.Context, s *Snapshot) error {
		return s.Rows(ctx, a.table.View, func(row *Row) error {
			a.rows++
			switch c, ok := a.batch[row.key()]; {
			case !ok:
				a.suspects[row.key()] = suspect{revision: row.rev()}
			case c.Revision == row.rev() && bytes.Equal(c.Value, row.Document()):
				delete(a.batch, row.key())
			}
			return nil
		}, "WHERE t.rev > ? AND t.rev <= ?", int64(a.done), int64(upTo))
	})
	for key, c := range a.batch {
		a.suspects[key] = suspect{inView: true, revision: c.Revision, sum: sumOf([]any{c.Value})}
	}
	clear(a.batch)
	a.done = upTo
	return err
}

// verdict counts the suspects that differ once the copy holds the revision upTo,
// and has SQLite check the indexes.
func (a *audit) verdict(ctx context.Context, upTo uint64) (differing int, err error) {
	if err := a.reaches(ctx, upTo); err != nil {
		return 0, err
	}
	err = a.look(ctx, func(ctx context.Context, s *Snapshot) error {
		for key, x := range a.suspects {
			same, err := a.acquit(ctx, s, key, x)
			if err != nil {
				return err
			}
			if !same {
				differing++
			}
		}
		return s.Query(ctx, func(rows *sql.Rows) error {
			var text string
			err := rows.Scan(&text)
			if text != "ok" {
				differing++
			}
			return err
		}, "PRAGMA integrity_check("+s.Table(a.table.View)+")")
	})
	return differing, err
}

// acquit reports whether the copy has the same document for a key as the view,
// or a later one.
func (a *audit) acquit(ctx context.Context, s *Snapshot, key string, x suspect) (same bool, err error) {
	found := false
	err = s.Rows(ctx, a.table.View, func(row *Row) error {
		found = true
		same = row.rev() > x.revision || x.inView && row.rev() == x.revision && sumOf([]any{row.Document()}) == x.sum
		return nil
	}, "WHERE t.key = ?", key)
	if found || err != nil {
		return same, err
	}
	if !x.inView {
		return true, nil
	}
	err = s.Query(ctx, func(rows *sql.Rows) error { return rows.Scan(&same) },
		"SELECT COUNT(*) FROM "+s.Table(a.table.View)+"_gone WHERE key = ? AND rev > ?", key, int64(x.revision))
	return same, err
}

// reaches waits until the copy holds a revision of the view.
func (a *audit) reaches(ctx context.Context, revision uint64) error {
	ctx, cancel := context.WithTimeout(ctx, auditWait)
	defer cancel()
	for {
		states, changed := a.Progress()
		switch s := states[a.table.View]; {
		case s.Table != a.state.Table:
			return errMoved
		case s.Revision >= revision:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("audit replica: wait for revision %d: %w", revision, ctx.Err())
		}
	}
}
