package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/projector/viewstore"
)

// statusCmd is `rollcall status`.
type statusCmd struct {
	clientFlags
	outputFlag
	Wait time.Duration `help:"Wait so long for every view to hold the last record; exit code 1 where one does not." default:"0" placeholder:"DURATION"`
}

// Help is the command's example.
func (statusCmd) Help() string {
	return `Prints where the log ends, how durable it is, and how far each view is behind it.

Example:
  rollcall status --output json`
}

// status is what the command prints as JSON.
type status struct {
	Server      string       `json:"server"`
	Log         logStatus    `json:"log"`
	Projections []viewStatus `json:"projections"`
}

type logStatus struct {
	Incarnation     string       `json:"incarnation"`
	FirstSequence   eventlog.Seq `json:"firstSequence"`
	LastSequence    eventlog.Seq `json:"lastSequence"`
	Records         uint64       `json:"records"`
	Bytes           uint64       `json:"bytes"`
	LastStoredAt    *time.Time   `json:"lastStoredAt"`
	Replicas        int          `json:"replicas"`
	DuplicateWindow float64      `json:"duplicateWindowSeconds"`
	Durability      string       `json:"durability"`
	Synced          bool         `json:"synced"`
}

type viewStatus struct {
	Name         string       `json:"name"`
	Version      string       `json:"version"`
	State        string       `json:"state"`
	Sequence     eventlog.Seq `json:"sequence"`
	HeadSequence eventlog.Seq `json:"headSequence"`
	Lag          uint64       `json:"lag"`
	LagSeconds   float64      `json:"lagSeconds"`
	Parked       int          `json:"parked"`
	Bucket       string       `json:"bucket"`
}

// Run prints the status.
func (c *statusCmd) Run(a *app) error {
	nc, js, err := c.connect(a.ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	log, err := natslog.Attach(a.ctx, js)
	if err != nil {
		return logError(err)
	}
	defer log.Close()
	began := time.Now()
	for {
		s, behind, err := c.ask(a, log, nc, viewstore.NewReader(js))
		if err != nil {
			return err
		}
		if behind == "" || time.Since(began) >= c.Wait {
			if err := c.show(a, s); err != nil {
				return err
			}
			if behind != "" && c.Wait > 0 {
				return fmt.Errorf("view %s did not reach the end of the log within %s", behind, c.Wait)
			}
			return nil
		}
		if err := pause(a.ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// ask collects the status, and names a view that does not hold the last record.
func (c *statusCmd) ask(a *app, log *natslog.Log, nc *nats.Conn, reader *viewstore.Reader) (s status, behind string, err error) {
	info, err := log.Info(a.ctx)
	if err != nil {
		return s, "", err
	}
	s = status{Server: redactURL(nc.ConnectedUrl()) + " (nats-server " + nc.ConnectedServerVersion() + ")", Log: logStatus{
		Incarnation: info.Incarnation, FirstSequence: info.First, LastSequence: info.Last, Records: info.Records, Bytes: info.Bytes,
		Replicas: info.Replicas, DuplicateWindow: info.DuplicateWindow.Seconds(), Durability: info.Durability, Synced: info.Synced,
	}}
	if !info.LastStoredAt.IsZero() {
		s.Log.LastStoredAt = &info.LastStoredAt
	}
	for _, fold := range allFolds() {
		v, err := viewStatusOf(a, reader, log, info.Head, fold)
		if err != nil {
			return s, "", err
		}
		if v.Lag > 0 {
			behind = v.Name
		}
		s.Projections = append(s.Projections, v)
	}
	return s, behind, nil
}

func viewStatusOf(a *app, r *viewstore.Reader, log *natslog.Log, head eventlog.Head, fold eventlog.Fold) (v viewStatus, err error) {
	v = viewStatus{Name: fold.Name(), State: "absent", HeadSequence: head.Last}
	alias, err := r.Alias(a.ctx, fold.Name())
	if errors.Is(err, viewstore.ErrNoView) {
		v.Lag = uint64(head.Last)
		return v, nil
	}
	if err != nil {
		return v, err
	}
	at, err := r.Checkpoint(a.ctx, alias.Bucket)
	if err != nil {
		return v, err
	}
	v.Version, v.Bucket, v.Sequence, v.Parked, v.State = alias.Version, alias.Bucket, at.Sequence, at.Parked, "live"
	if at.Sequence >= head.Last {
		return v, nil
	}
	v.Lag = uint64(head.Last - at.Sequence)
	next, err := log.Record(a.ctx, at.Sequence+1)
	if err != nil && !errors.Is(err, eventlog.ErrNotFound) {
		return v, err
	}
	if err == nil {
		v.LagSeconds = max(0, time.Since(next.StoredAt).Round(time.Millisecond).Seconds())
	}
	if v.LagSeconds > 5 {
		v.State = "behind"
	}
	return v, nil
}

func (c *statusCmd) show(a *app, s status) error {
	if c.Output == "json" {
		return printJSON(a.stdout, s)
	}
	g := &grid{columns: []string{"view", "state", "sequence", "headSequence", "lag", "lagSeconds", "parked", "bucket", "version"}}
	for _, v := range s.Projections {
		g.add(v.Name, v.State, v.Sequence, v.HeadSequence, v.Lag, v.LagSeconds, v.Parked, v.Bucket, v.Version)
	}
	if c.Output == "table" {
		last := "never"
		if s.Log.LastStoredAt != nil {
			last = human(*s.Log.LastStoredAt)
		}
		fmt.Fprintf(a.stdout, "server      %s\nlog         %d records, %d bytes, sequences %d to %d, last stored %s\ndurability  %s\n\n",
			s.Server, s.Log.Records, s.Log.Bytes, s.Log.FirstSequence, s.Log.LastSequence, last, s.Log.Durability)
	}
	return c.print(a.stdout, g)
}

// logError gives an error of opening the log its exit code and the next step.
func logError(err error) error {
	if errors.Is(err, eventlog.ErrNoLog) {
		return notFoundf("the server has no log yet; a process with --target=ingest makes it")
	}
	return err
}
