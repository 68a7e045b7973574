package closing

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"rollcall/eventlog"
	"rollcall/eventlog/wire"
	"rollcall/projections"
)

const (
	// Bucket is the KV bucket of closings.
	Bucket = "closings"

	indexKey = "index"
	// partLimit bounds a value: 384 KiB.
	partLimit = 384 << 10
	// maxClosings bounds the index to less than a message may have.
	maxClosings = 1000
	timeout     = 10 * time.Second
)

// Sentinels of a Store.
var (
	// ErrNotFound: there is no closing of that id.
	ErrNotFound = errors.New("no such closing")
	// ErrExists: the month is closed in that time zone.
	ErrExists = errors.New("the month is closed already")
	// ErrMoved: somebody else wrote a closing at the same time.
	ErrMoved = errors.New("another closing was written at the same time; run it again")
	// ErrFull: there are as many closings as there may be.
	ErrFull = errors.New("there are 1,000 closings, which is the limit")
)

// Store keeps closings in a JetStream server. Its methods may be used from several
// goroutines.
type Store struct{ js jetstream.JetStream }

// NewStore is a store on a server. Nothing is made before the first Save.
func NewStore(js jetstream.JetStream) *Store { return &Store{js} }

// List returns all closings, in the order in which they were made.
func (s *Store) List(ctx context.Context) ([]Head, error) {
	heads, _, err := s.index(ctx)
	return heads, err
}

// index reads the list with its revision, 0 where there is none.
func (s *Store) index(ctx context.Context) (heads []Head, revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	stream, err := s.js.Stream(ctx, streamName)
	var value []byte
	if err == nil {
		value, revision, err = get(ctx, stream, indexKey)
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(value, &heads)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read closings: %w", err)
	}
	return heads, revision, nil
}

// Load returns a closing; ErrNotFound where there is none.
func (s *Store) Load(ctx context.Context, id string) (*Closing, error) {
	heads, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range heads {
		if h.ID == id {
			return s.LoadRows(ctx, h)
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrNotFound, id)
}

// LoadRows returns a closing of List with its rows.
func (s *Store) LoadRows(ctx context.Context, h Head) (*Closing, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	stream, err := s.js.Stream(ctx, streamName)
	if err != nil {
		return nil, fmt.Errorf("read closing %s: %w", h.ID, err)
	}
	c := &Closing{Head: h}
	for n := range h.Parts {
		value, _, err := get(ctx, stream, partKey(h.ID, n))
		var rows []row
		if err == nil {
			err = json.Unmarshal(value, &rows)
		}
		if err != nil {
			return nil, fmt.Errorf("read closing %s: part %d of %d: %w", h.ID, n+1, h.Parts, err)
		}
		for _, r := range rows {
			c.Rows = append(c.Rows, r.usage())
		}
	}
	return c, nil
}

// get reads a key's value and revision.
func get(ctx context.Context, stream jetstream.Stream, key string) ([]byte, uint64, error) {
	m, err := stream.GetLastMsgForSubject(ctx, subjectOf(key))
	if err != nil {
		return nil, 0, fmt.Errorf("read %s of bucket %s: %w", key, Bucket, err)
	}
	return m.Data, m.Sequence, nil
}

const streamName = "KV_" + Bucket

func subjectOf(key string) string { return "$KV." + Bucket + "." + key }

func partKey(id string, n int) string { return id + ".p" + strconv.Itoa(n) }

// Save gives a closing its id and stores it. If its month is already closed in its
// time zone, Save returns that closing and ErrExists, unless again is set.
func (s *Store) Save(ctx context.Context, c *Closing, again bool) (existing *Head, err error) {
	heads, revision, err := s.index(ctx)
	if err != nil {
		return nil, err
	}
	n := 1
	for i := range heads {
		if heads[i].Month == c.Month && heads[i].Timezone == c.Timezone {
			existing, n = &heads[i], n+1
		}
	}
	switch {
	case existing != nil && !again:
		return existing, ErrExists
	case len(heads) >= maxClosings:
		return nil, ErrFull
	}
	c.ID = idOf(c.Month, c.Timezone, n)
	parts, err := encode(c.Rows)
	if err != nil {
		return nil, err
	}
	c.Parts = len(parts)
	index, err := json.Marshal(append(heads, c.Head))
	if err != nil {
		return nil, fmt.Errorf("encode closings: %w", err)
	}
	return nil, s.write(ctx, c.ID, parts, index, revision)
}

// write stores the parts and then the index, which must be that of the revision, in
// one batch.
func (s *Store) write(ctx context.Context, id string, parts [][]byte, index []byte, revision uint64) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := s.ensure(ctx); err != nil {
		return err
	}
	var batch []*nats.Msg
	for n, value := range parts {
		m := nats.NewMsg(subjectOf(partKey(id, n)))
		m.Data = value
		batch = append(batch, m)
	}
	m := nats.NewMsg(subjectOf(indexKey))
	m.Data = index
	m.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(revision, 10)}
	_, err := wire.Publish(ctx, s.js.Conn(), nuid.Next(), append(batch, m))
	if wire.IsConflict(err) {
		return ErrMoved
	}
	if err != nil {
		return fmt.Errorf("write closing %s: %w", id, err)
	}
	return nil
}

// ensure makes the bucket where it is missing, with as many replicas as the log.
func (s *Store) ensure(ctx context.Context) error {
	_, err := s.js.Stream(ctx, streamName)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	log, err := s.js.Stream(ctx, eventlog.Stream)
	if err != nil {
		return fmt.Errorf("read settings of stream %s: %w", eventlog.Stream, err)
	}
	_, err = s.js.CreateStream(ctx, jetstream.StreamConfig{
		Name:        streamName,
		Description: "Rollcall's closings; read it as KV bucket " + Bucket,
		Subjects:    []string{subjectOf(">")},
		// One value a key: a closing is written once.
		MaxMsgsPerSubject: 1,
		// New, so that a full bucket refuses a closing, and forgets none.
		Discard:            jetstream.DiscardNew,
		Storage:            jetstream.FileStorage,
		Replicas:           log.CachedInfo().Config.Replicas,
		AllowAtomicPublish: true,
		AllowDirect:        true,
		// What KV purge needs; and nobody deletes a single message by its number.
		AllowRollup: true,
		DenyDelete:  true,
		Metadata:    map[string]string{"rollcall": "closings"},
	})
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return fmt.Errorf("make bucket %s: %w", Bucket, err)
	}
	return nil
}

// row is the stored form of a finest row.
type row struct {
	SessionID          string           `json:"sessionId"`
	Day                string           `json:"day"`
	OrganizerID        string           `json:"organizerId"`
	OrganizerName      string           `json:"organizerName"`
	MeetingID          string           `json:"meetingId"`
	Sessions           int              `json:"sessions"`
	ParticipantSeconds eventlog.Seconds `json:"participantSeconds"`
	AttendedSeconds    eventlog.Seconds `json:"attendedSeconds"`
	RecordingSeconds   eventlog.Seconds `json:"recordingSeconds"`
	PeakParticipants   int              `json:"peakParticipants"`
	RevisedAt          eventlog.Time    `json:"revisedAt"`
}

func rowOf(r *projections.UsageRow) row {
	return row{r.SessionID, r.Day.String(), r.Organizer.ID, r.Organizer.Name, r.MeetingID, r.Sessions, r.ParticipantSeconds, r.AttendedSeconds,
		r.RecordingSeconds, r.PeakParticipants, r.RevisedAt}
}

func (r *row) usage() projections.UsageRow {
	day, _ := projections.ParseDate(r.Day)
	return projections.UsageRow{Day: day, Period: projections.PerDay, Organizer: projections.Organizer{ID: r.OrganizerID, Name: r.OrganizerName},
		MeetingID: r.MeetingID, SessionID: r.SessionID, Sessions: r.Sessions, ParticipantSeconds: r.ParticipantSeconds, AttendedSeconds: r.AttendedSeconds,
		RecordingSeconds: r.RecordingSeconds, PeakParticipants: r.PeakParticipants, RevisedAt: r.RevisedAt}
}

// encode writes rows as JSON arrays of at most partLimit bytes.
func encode(rows []projections.UsageRow) (parts [][]byte, err error) {
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			parts = append(parts, []byte(b.String()+"]"))
			b.Reset()
		}
	}
	for i := range rows {
		v, err := json.Marshal(rowOf(&rows[i]))
		if err != nil {
			return nil, fmt.Errorf("encode row: %w", err)
		}
		if b.Len()+len(v)+2 > partLimit {
			flush()
		}
		b.WriteByte("[,"[min(b.Len(), 1)])
		b.Write(v)
	}
	flush()
	return parts, nil
}
