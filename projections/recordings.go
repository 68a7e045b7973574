package projections

import (
	"cmp"
	"slices"
	"strconv"

	"rollcall/eventlog"
)

// recordingFold is view recordings: a document a recording.
type recordingFold struct{}

func (recordingFold) Name() string    { return "recordings" }
func (recordingFold) Version() string { return "3" }

func (recordingFold) Key(ev *eventlog.Event) string {
	if ev.Type != eventlog.RecordingStatus {
		return ""
	}
	return ev.Recording.ID
}

func (recordingFold) New(key string) eventlog.State {
	return &recordingState{
		id: key, statuses: make(map[string]*statusSeen),
		shelf: shelf[*statusSeen]{prefix: statusesPrefix, each: statusesEach},
	}
}

const (
	statusUploaded = "UPLOADED"
	statusErrored  = "ERRORED"

	statusesEach   = 16
	statusesPrefix = "s"
	// statusesKept bounds the statuses with no rank: the earliest are kept.
	statusesKept = 1000
)

// rank orders the statuses that a recording goes through. A text that is none of
// them has rank 0, a record without a readable status has none: -1.
func rank(status string) int {
	switch status {
	case "":
		return -1
	case "INVOKED":
		return 1
	case "PAUSED":
		return 2
	case "RECORDING":
		return 3
	case "UPLOADING":
		return 4
	case statusErrored:
		return 5
	case statusUploaded:
		return 6
	}
	return 0
}

// statusSeen is a status with its earliest received time.
type statusSeen struct {
	place
	status string
	at     eventlog.Time
}

func (s *statusSeen) put(b []byte) []byte { return putTime(putText(b, s.status), s.at) }

func (s *statusSeen) read(r *reader) {
	s.status = r.text()
	s.at = r.time()
}

// compareSeen is the order of the history.
func compareSeen(a, b *statusSeen) int {
	return cmp.Or(cmp.Compare(rank(a.status), rank(b.status)), cmp.Compare(a.at, b.at), cmp.Compare(a.status, b.status))
}

// ranked is the text of the record with the highest rank; where several have
// that rank, the text of the first.
type ranked struct {
	rank int
	first
}

func (v *ranked) merge(rank int, o eventlog.Order, text string) bool {
	if text == "" || v.text != "" && rank < v.rank {
		return false
	}
	if v.text != "" && rank > v.rank {
		v.text = ""
	}
	v.rank = rank
	return v.first.merge(o, text)
}

// recordingState is the facts about one recording. started and stopped are its
// times, over the first received time of a final status.
type recordingState struct {
	id         string
	statuses   map[string]*statusSeen
	shelf      shelf[*statusSeen]
	unranked   []*statusSeen // those of rank 0, sorted, once ready
	ready      bool
	deliveries deliveries

	session, room, meeting, ownMeeting, organization first
	started, stopped, over                           eventlog.Time
	size, name, problem, stopReason                  ranked
	download                                         downloads

	seen, dirty, dirtyCore bool
}

func (s *recordingState) Apply(ev *eventlog.Event) {
	if ev.Type != eventlog.RecordingStatus || ev.Recording.ID != s.id || s.id == "" {
		return
	}
	s.start()
	core := !s.seen
	s.seen = true
	alone := s.deliveries.alone
	if s.deliveries.add(ev) {
		s.dirty = true
		core = core || alone != s.deliveries.alone
	}
	if s.applyStatus(ev) {
		s.dirty = true
	}
	if links, sent := downloadsOf(&ev.Recording); sent && s.download.merge(links) {
		s.dirty = true
	}
	if s.applyCore(ev) || core {
		s.dirty, s.dirtyCore = true, true
	}
}

// applyCore merges all but statuses and links, and reports a change.
func (s *recordingState) applyCore(ev *eventlog.Event) bool {
	in := &ev.Recording
	o, at := ev.Order, rank(in.Status)
	changed := s.session.merge(o, in.InSession)
	changed = s.room.merge(o, in.RoomUUID) || changed
	changed = s.meeting.merge(o, in.InMeeting) || changed
	changed = s.ownMeeting.merge(o, in.MeetingID) || changed
	changed = s.organization.merge(o, in.OrganizationID) || changed
	changed = earliest(&s.started, in.StartedAt) || changed
	changed = latest(&s.stopped, in.StoppedAt) || changed
	if at >= rank(statusErrored) {
		changed = earliest(&s.over, o.At) || changed
	}
	if in.HasFileSize {
		changed = s.size.merge(at, o, strconv.FormatInt(in.FileSize, 10)) || changed
	}
	changed = s.name.merge(at, o, in.OutputFileName) || changed
	changed = s.problem.merge(at, o, in.Error) || changed
	changed = s.stopReason.merge(at, o, string(in.StopReason)) || changed
	return changed
}

// applyStatus merges a status with its received time, and reports a change.
func (s *recordingState) applyStatus(ev *eventlog.Event) bool {
	status := ev.Recording.Status
	if status == "" {
		return false
	}
	v := s.statuses[status]
	switch {
	case v == nil:
		v = &statusSeen{status: status, at: ev.Order.At}
		if rank(status) == 0 && len(s.unranked) >= statusesKept && compareSeen(v, s.unranked[statusesKept-1]) > 0 {
			return false
		}
		s.statuses[status] = v
		s.shelf.add(v)
	case ev.Order.At < v.at:
		s.unlist(v)
		v.at = ev.Order.At
		s.shelf.mark(v)
	default:
		return false
	}
	s.list(v)
	return true
}

// list sorts a status of rank 0 in, and drops the latest beyond the bound. The N
// earliest of a set are the same in whatever order its members came.
func (s *recordingState) list(v *statusSeen) {
	if rank(v.status) != 0 {
		return
	}
	i, _ := slices.BinarySearchFunc(s.unranked, v, compareSeen)
	s.unranked = slices.Insert(s.unranked, i, v)
	if n := len(s.unranked); n > statusesKept {
		last := s.unranked[n-1]
		s.unranked = s.unranked[:n-1]
		delete(s.statuses, last.status)
		s.shelf.remove(last)
	}
}

func (s *recordingState) unlist(v *statusSeen) {
	if i, found := slices.BinarySearchFunc(s.unranked, v, compareSeen); found {
		s.unranked = slices.Delete(s.unranked, i, i+1)
	}
}

// start sorts what was loaded.
func (s *recordingState) start() {
	if s.ready {
		return
	}
	s.ready = true
	for _, v := range s.statuses {
		if rank(v.status) == 0 {
			s.unranked = append(s.unranked, v)
		}
	}
	slices.SortFunc(s.unranked, compareSeen)
}

func (s *recordingState) Flush(w eventlog.Writer) {
	s.start()
	if !s.dirty {
		return
	}
	s.dirty = false
	doc := s.document()
	w.Put(eventlog.EscapeID(s.id), doc.AppendJSON(nil))
	s.shelf.flush(w)
	s.deliveries.flush(w)
	s.download.flush(w)
	if s.dirtyCore {
		s.dirtyCore = false
		w.PutPart(corePart, s.putCore())
	}
}

// Over is the received time of the first UPLOADED or ERRORED.
func (s *recordingState) Over() eventlog.Time { return s.over }

func (s *recordingState) Erase(w eventlog.Writer) { w.Delete(eventlog.EscapeID(s.id)) }

// document makes the document from the facts alone.
func (s *recordingState) document() Recording {
	doc := Recording{
		RecordingID: s.id,
		SessionID:   cmp.Or(s.session.text, s.room.text), MeetingID: cmp.Or(s.meeting.text, s.ownMeeting.text),
		OrganizationID: s.organization.text, StartedAt: s.started, StoppedAt: s.stopped,
		OutputFileName: s.name.text, Error: s.problem.text, StopReason: RawJSON(s.stopReason.text),
		LastEventAt: s.deliveries.last(),
	}
	if !s.started.IsZero() && !s.stopped.IsZero() {
		d := max(0, s.stopped.Sub(s.started))
		doc.DurationSeconds = &d
	}
	if n, err := strconv.ParseInt(s.size.text, 10, 64); err == nil {
		doc.FileSizeBytes = &n
	}
	seen := make([]*statusSeen, 0, len(s.statuses))
	for _, v := range s.statuses {
		seen = append(seen, v)
	}
	slices.SortFunc(seen, compareSeen)
	doc.History = history(seen)
	if n := len(seen); n > 0 {
		doc.Status = seen[n-1].status
	}
	doc.Conflict = s.statuses[statusErrored] != nil && s.statuses[statusUploaded] != nil
	s.download.show(&doc)
	return doc
}

// history lists the statuses: all that have a rank, and of the others the
// earliest that fit.
func history(seen []*statusSeen) []StatusAt {
	room := listBudget - 10*textLimit
	list := make([]StatusAt, 0, len(seen))
	for _, v := range seen {
		s := StatusAt{v.status, v.at}
		if room -= statusSize(&s); room >= 0 || rank(v.status) > 0 {
			list = append(list, s)
		}
	}
	return list
}

func (s *recordingState) firsts() [5]*first {
	return [...]*first{&s.session, &s.room, &s.meeting, &s.ownMeeting, &s.organization}
}

func (s *recordingState) rankeds() [4]*ranked {
	return [...]*ranked{&s.size, &s.name, &s.problem, &s.stopReason}
}

func (s *recordingState) putCore() []byte {
	b := putTime([]byte{stateVersion}, s.deliveries.alone)
	b = putTime(putTime(putTime(b, s.started), s.stopped), s.over)
	var last eventlog.Order
	for _, f := range s.firsts() {
		b = f.put(b, &last)
	}
	for _, v := range s.rankeds() {
		b = v.first.put(append(b, byte(v.rank+1)), &last)
	}
	return b
}

func (s *recordingState) Load(part string, value []byte) error {
	s.seen = true
	if ours, err := s.deliveries.load(part, value); ours {
		return err
	}
	if part == downloadsPart {
		return s.download.load(value)
	}
	r := reader{b: value}
	r.version()
	if part == corePart {
		s.deliveries.alone, s.started, s.stopped, s.over = r.time(), r.time(), r.time(), r.time()
		var last eventlog.Order
		for _, f := range s.firsts() {
			f.read(&r, &last)
		}
		for _, v := range s.rankeds() {
			v.rank = int(r.byte()) - 1
			v.first.read(&r, &last)
		}
		return r.done()
	}
	n := s.shelf.index(part)
	if n < 0 {
		return errState
	}
	s.shelf.grow(n)
	for len(r.b) > 0 && !r.bad {
		v := new(statusSeen)
		v.read(&r)
		if r.bad {
			break
		}
		if old := s.statuses[v.status]; old != nil {
			earliest(&old.at, v.at)
			s.shelf.merged(old, n)
			continue
		}
		s.statuses[v.status] = v
		s.shelf.load(v, n)
	}
	return r.done()
}

func (s *recordingState) Size() int {
	n := 1024 + s.deliveries.size()
	for status := range s.statuses {
		n += 128 + len(status)
	}
	for _, f := range s.firsts() {
		n += len(f.text)
	}
	for _, v := range s.rankeds() {
		n += len(v.text)
	}
	return n + s.download.size()
}
