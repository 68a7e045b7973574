package projections_test

import (
	"cmp"
	"slices"
	"strings"

	"rollcall/eventlog"
	"rollcall/projections"
)

// The reference: the tables of the contract, each field computed from the whole
// set of records, with no state, no increment and no thought of cost.

type ref struct {
	events []eventlog.Event // sorted by order, repeats left out
}

func reference(records []eventlog.Record) views {
	best := make(map[string]eventlog.Record)
	for _, r := range records {
		key := "event " + r.EventID
		if r.DeliveryID != "" {
			key = "delivery " + r.Source + "\x00" + r.DeliveryID + "\x00" + string(r.Body)
		}
		if old, ok := best[key]; !ok || r.Order().Less(old.Order()) {
			best[key] = r
		}
	}
	var x ref
	for _, r := range best {
		x.events = append(x.events, eventlog.Decode(&r))
	}
	slices.SortFunc(x.events, func(a, b eventlog.Event) int {
		return cmp.Or(cmp.Compare(a.Order.At, b.Order.At), strings.Compare(a.Order.ID, b.Order.ID))
	})
	got := views{
		"sessions": {}, "attendance": {}, "recordings": {}, "artifacts": {}, "livestreams": {},
	}
	x.sessions(got)
	x.recordings(got["recordings"])
	x.artifacts(got["artifacts"])
	x.livestreams(got["livestreams"])
	return got
}

func (x *ref) session(ev *eventlog.Event) string {
	if ev.SessionID != "" {
		return ev.SessionID
	}
	switch ev.Type {
	case eventlog.MeetingStarted, eventlog.MeetingEnded, eventlog.ParticipantJoined, eventlog.ParticipantLeft:
		return ev.MeetingID
	}
	return ""
}

func group(events []eventlog.Event, key func(*eventlog.Event) string) map[string][]eventlog.Event {
	groups := make(map[string][]eventlog.Event)
	for i := range events {
		if k := key(&events[i]); k != "" && events[i].Type.Known() {
			groups[k] = append(groups[k], events[i])
		}
	}
	return groups
}

func firstText(events []eventlog.Event, of func(*eventlog.Event) string) string {
	for i := range events {
		if s := of(&events[i]); s != "" {
			return s
		}
	}
	return ""
}

// times returns what of gives for the events that pass only, zeros left out,
// sorted.
func times(events []eventlog.Event, only func(*eventlog.Event) bool, of func(*eventlog.Event) eventlog.Time) []eventlog.Time {
	var list []eventlog.Time
	for i := range events {
		if t := of(&events[i]); only(&events[i]) && t != 0 {
			list = append(list, t)
		}
	}
	slices.Sort(list)
	return list
}

func head(lists ...[]eventlog.Time) eventlog.Time {
	for _, l := range lists {
		if len(l) > 0 {
			return l[0]
		}
	}
	return 0
}

func tail(list []eventlog.Time) eventlog.Time {
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1]
}

func is(types ...eventlog.Type) func(*eventlog.Event) bool {
	return func(ev *eventlog.Event) bool { return slices.Contains(types, ev.Type) }
}

func received(ev *eventlog.Event) eventlog.Time { return ev.Order.At }

func ends(ev *eventlog.Event) bool {
	switch ev.Type {
	case eventlog.MeetingEnded, eventlog.ChatSynced, eventlog.Transcript:
		return true
	}
	return ev.Type == eventlog.Summary && ev.EndedAt != 0
}

// refConn is a connection as the attendance table has it.
type refConn struct {
	peer, participant, name string
	joined, left            eventlog.Time // left zero: open
	by                      string
	unseen                  bool
}

// cut returns the interval cut at the session's end; an open one has no to.
func (c refConn) cut(end eventlog.Time) (from, to eventlog.Time) {
	to = c.left
	if end != 0 && to > end {
		to = end
	}
	return c.joined, to
}

func (c refConn) seconds(end eventlog.Time) eventlog.Seconds {
	from, to := c.cut(end)
	if to == 0 || to < from {
		return 0
	}
	return to.Sub(from)
}

var joins, leaves, moves = is(eventlog.ParticipantJoined), is(eventlog.ParticipantLeft), is(eventlog.ParticipantJoined, eventlog.ParticipantLeft)

func connections(events []eventlog.Event, end eventlog.Time) []refConn {
	var list []refConn
	byPeer := group(events, func(ev *eventlog.Event) string { return ev.Participant.PeerID })
	for peer, evs := range byPeer {
		c := refConn{peer: peer}
		c.participant = cmp.Or(
			firstText(evs, func(ev *eventlog.Event) string { return ev.Participant.CustomID }),
			firstText(evs, func(ev *eventlog.Event) string { return ev.Participant.ClientID }), peer)
		c.name = firstText(evs, func(ev *eventlog.Event) string { return ev.Participant.Name })
		leftAts := times(evs, leaves, func(ev *eventlog.Event) eventlog.Time { return ev.Participant.LeftAt })
		left := cmp.Or(tail(leftAts), head(times(evs, leaves, received)))
		c.joined = head(
			times(evs, moves, func(ev *eventlog.Event) eventlog.Time { return ev.Participant.JoinedAt }),
			times(evs, joins, received))
		if c.joined == 0 {
			c.joined, c.unseen = left, true
		}
		switch {
		case left != 0:
			c.left, c.by = left, "LEFT"
		case end != 0:
			c.left, c.by = end, "MEETING_END"
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b refConn) int {
		return cmp.Or(cmp.Compare(a.joined, b.joined), strings.Compare(a.peer, b.peer))
	})
	return list
}

func (x *ref) sessions(got views) {
	for id, evs := range group(x.events, x.session) {
		if !slices.ContainsFunc(evs, func(ev eventlog.Event) bool {
			return ends(&ev) || moves(&ev) || ev.Type == eventlog.MeetingStarted
		}) {
			continue
		}
		doc, conns := x.sessionDoc(id, evs)
		key := "live."
		if doc.Status == "ENDED" {
			key = "ended."
		}
		got["sessions"][key+eventlog.EscapeID(id)] = string(doc.AppendJSON(nil))
		byPerson := make(map[string][]refConn)
		for _, c := range conns {
			byPerson[c.participant] = append(byPerson[c.participant], c)
		}
		for person, list := range byPerson {
			p := participantDoc(id, person, list, doc.EndedAt)
			got["attendance"][eventlog.EscapeID(id)+"."+eventlog.EscapeID(person)] = string(p.AppendJSON(nil))
		}
	}
}

func (x *ref) sessionDoc(id string, evs []eventlog.Event) (projections.Session, []refConn) {
	startedAt := func(ev *eventlog.Event) eventlog.Time { return ev.StartedAt }
	meeting := func(ev *eventlog.Event) bool { return strings.HasPrefix(ev.Type.String(), "meeting.") }
	other := func(ev *eventlog.Event) bool { return !meeting(ev) }
	all := func(*eventlog.Event) bool { return true }
	doc := projections.Session{SessionID: id, Status: "LIVE", Anomalies: []string{}}
	doc.MeetingID = firstText(evs, func(ev *eventlog.Event) string { return ev.MeetingID })
	doc.Title = firstText(evs, func(ev *eventlog.Event) string { return ev.Title })
	doc.RoomName = firstText(evs, func(ev *eventlog.Event) string { return ev.RoomName })
	for i := len(evs) - 1; i >= 0; i-- {
		if o := evs[i].Organizer; o.ID != "" || o.Name != "" {
			doc.Organizer = projections.Organizer{ID: o.ID, Name: o.Name}
		}
	}
	bad := map[string]bool{}
	if len(times(evs, ends, received)) > 0 {
		doc.Status = "ENDED"
		doc.EndedAt = tail(times(evs, ends, func(ev *eventlog.Event) eventlog.Time { return ev.EndedAt }))
		if doc.EndedAt == 0 {
			doc.EndedAt = head(times(evs, ends, received))
			bad["end-inferred"] = true
		}
		doc.EndReason = cmp.Or(firstText(evs, func(ev *eventlog.Event) string { return ev.Reason }), "UNKNOWN")
	}
	conns := connections(evs, doc.EndedAt)
	var joined []eventlog.Time
	for _, c := range conns {
		joined = append(joined, c.joined)
	}
	doc.StartedAt = head(times(evs, meeting, startedAt), times(evs, other, startedAt), joined, times(evs, all, received))
	if doc.Status == "ENDED" {
		d := max(0, doc.EndedAt.Sub(doc.StartedAt))
		doc.DurationSeconds = &d
		bad["end-before-start"] = doc.EndedAt < doc.StartedAt
	}
	people := map[string]bool{}
	for _, c := range conns {
		people[c.participant] = true
		doc.ParticipantSeconds += c.seconds(doc.EndedAt)
		if c.left == 0 {
			doc.LiveParticipants++
		}
		bad["join-unseen"] = bad["join-unseen"] || c.unseen
		bad["left-before-joined"] = bad["left-before-joined"] || c.left != 0 && c.left < c.joined
		bad["left-after-end"] = bad["left-after-end"] || c.by == "LEFT" && doc.EndedAt != 0 && c.left > doc.EndedAt
		most := 0 // at the instant of this join
		for _, o := range conns {
			from, to := o.cut(doc.EndedAt)
			if from <= c.joined && (to == 0 || c.joined < to) {
				most++
			}
		}
		doc.MaxConcurrentParticipants = max(doc.MaxConcurrentParticipants, most)
	}
	doc.UniqueParticipants, doc.Connections = len(people), len(conns)
	doc.Implicit = len(times(evs, is(eventlog.MeetingStarted), received)) == 0
	doc.LastEventAt = tail(times(evs, all, received))
	for i := range evs {
		bad["bad-time"] = bad["bad-time"] || evs[i].BadTimes != 0
		bad["no-session-id"] = bad["no-session-id"] || evs[i].SessionID == ""
		bad["no-peer-id"] = bad["no-peer-id"] || moves(&evs[i]) && evs[i].Participant.PeerID == ""
	}
	for name, yes := range bad {
		if yes {
			doc.Anomalies = append(doc.Anomalies, name)
		}
	}
	slices.Sort(doc.Anomalies)
	return doc, conns
}

func participantDoc(session, id string, list []refConn, end eventlog.Time) projections.Participant {
	doc := projections.Participant{SessionID: session, ParticipantID: id, FirstJoinedAt: list[0].joined}
	var named refConn
	for _, c := range list {
		sec := c.seconds(end)
		doc.Connections = append(doc.Connections, projections.Connection{PeerID: c.peer, JoinedAt: c.joined, LeftAt: c.left, ClosedBy: c.by, Seconds: sec})
		doc.ConnectedSeconds += sec
		doc.Present = doc.Present || c.left == 0
		doc.LastLeftAt = max(doc.LastLeftAt, c.left)
		if c.name != "" && (named.name == "" || c.joined > named.joined || c.joined == named.joined && c.peer > named.peer) {
			named = c
		}
	}
	doc.DisplayName = named.name
	if doc.Present {
		doc.LastLeftAt = 0
	}
	doc.AttendedSeconds = covered(list, end, 0, 1<<62)
	doc.LongestGapSeconds = gap(list, end)
	return doc
}

// covered is how long at least one closed connection covers of [from, to).
func covered(list []refConn, end, from, to eventlog.Time) (sum eventlog.Seconds) {
	var edges []eventlog.Time
	for _, c := range list {
		a, b := c.cut(end)
		edges = append(edges, max(a, from), min(b, to))
	}
	slices.Sort(edges)
	for i := 1; i < len(edges); i++ {
		if slices.ContainsFunc(list, func(c refConn) bool {
			a, b := c.cut(end)
			return b != 0 && max(a, from) <= edges[i-1] && edges[i] <= min(b, to)
		}) {
			sum += edges[i].Sub(edges[i-1])
		}
	}
	return sum
}

func gap(list []refConn, end eventlog.Time) (most eventlog.Seconds) {
	type span struct{ from, to eventlog.Time }
	var spans []span
	var edges []eventlog.Time
	for _, c := range list {
		a, b := c.cut(end)
		if end != 0 && a >= end {
			continue
		}
		if b == 0 {
			b = 1 << 62
		}
		b = max(a, b)
		spans = append(spans, span{a, b})
		edges = append(edges, a, b)
	}
	slices.Sort(edges)
	for i := 1; i < len(edges); i++ {
		if !slices.ContainsFunc(spans, func(s span) bool { return s.from <= edges[i-1] && edges[i] <= s.to }) {
			most = max(most, edges[i].Sub(edges[i-1]))
		}
	}
	return most
}

func (x *ref) recordings(docs map[string]string) {
	ranks := []string{"INVOKED", "PAUSED", "RECORDING", "UPLOADING", "ERRORED", "UPLOADED"}
	rank := func(s string) int { return slices.Index(ranks, s) }
	for id, evs := range group(x.events, func(ev *eventlog.Event) string { return ev.Recording.ID }) {
		doc := projections.Recording{RecordingID: id, History: []projections.StatusAt{}}
		all := func(*eventlog.Event) bool { return true }
		of := func(f func(*eventlog.Event) string) string { return firstText(evs, f) }
		seen := map[string]bool{}
		for _, ev := range evs {
			if s := ev.Recording.Status; s != "" && !seen[s] {
				seen[s] = true
				doc.History = append(doc.History, projections.StatusAt{Status: s, At: ev.Order.At})
			}
		}
		slices.SortFunc(doc.History, func(a, b projections.StatusAt) int {
			return cmp.Or(rank(a.Status)-rank(b.Status), cmp.Compare(a.At, b.At), strings.Compare(a.Status, b.Status))
		})
		if n := len(doc.History); n > 0 {
			doc.Status = doc.History[n-1].Status
		}
		doc.Conflict = seen["ERRORED"] && seen["UPLOADED"]
		doc.SessionID = cmp.Or(of(func(ev *eventlog.Event) string { return ev.Recording.InSession }), of(func(ev *eventlog.Event) string { return ev.Recording.RoomUUID }))
		doc.MeetingID = cmp.Or(of(func(ev *eventlog.Event) string { return ev.Recording.InMeeting }), of(func(ev *eventlog.Event) string { return ev.Recording.MeetingID }))
		doc.OrganizationID = of(func(ev *eventlog.Event) string { return ev.Recording.OrganizationID })
		doc.StartedAt = head(times(evs, all, func(ev *eventlog.Event) eventlog.Time { return ev.Recording.StartedAt }))
		doc.StoppedAt = tail(times(evs, all, func(ev *eventlog.Event) eventlog.Time { return ev.Recording.StoppedAt }))
		if doc.StartedAt != 0 && doc.StoppedAt != 0 {
			d := max(0, doc.StoppedAt.Sub(doc.StartedAt))
			doc.DurationSeconds = &d
		}
		// By rank, in it by order: the first that has the field wins.
		byRank := slices.Clone(evs)
		slices.SortStableFunc(byRank, func(a, b eventlog.Event) int {
			ra, rb := rank(a.Recording.Status), rank(b.Recording.Status)
			if a.Recording.Status == "" {
				ra--
			}
			if b.Recording.Status == "" {
				rb--
			}
			return rb - ra
		})
		for i := len(byRank) - 1; i >= 0; i-- {
			if r := byRank[i].Recording; r.HasFileSize {
				doc.FileSizeBytes = &r.FileSize
			}
		}
		doc.OutputFileName = firstText(byRank, func(ev *eventlog.Event) string { return ev.Recording.OutputFileName })
		doc.Error = firstText(byRank, func(ev *eventlog.Event) string { return ev.Recording.Error })
		doc.StopReason = projections.RawJSON(firstText(byRank, func(ev *eventlog.Event) string { return string(ev.Recording.StopReason) }))
		links := slices.DeleteFunc(slices.Clone(evs), func(ev eventlog.Event) bool { return ev.Recording.DownloadURL == "" && len(ev.Recording.Files) == 0 })
		if len(links) > 0 {
			r := slices.MaxFunc(links, func(a, b eventlog.Event) int { return compareLinks(a.Recording, b.Recording) }).Recording
			doc.DownloadURL, doc.AudioDownloadURL, doc.DownloadURLExpiresAt = r.DownloadURL, r.AudioDownloadURL, r.ExpiresAt
			for _, f := range r.Files {
				doc.Files = append(doc.Files, projections.File{ParticipantID: f.ParticipantID, URL: f.URL, AudioURL: f.AudioURL})
			}
		}
		doc.LastEventAt = tail(times(evs, all, received))
		docs[eventlog.EscapeID(id)] = string(doc.AppendJSON(nil))
	}
}

// compareLinks is which record's links count: the later expiry, then the greater
// URL, then the greater of the rest.
func compareLinks(a, b eventlog.Recording) int {
	return cmp.Or(cmp.Compare(a.ExpiresAt, b.ExpiresAt), strings.Compare(a.DownloadURL, b.DownloadURL), strings.Compare(a.AudioDownloadURL, b.AudioDownloadURL),
		slices.CompareFunc(a.Files, b.Files, func(a, b eventlog.File) int {
			return cmp.Or(strings.Compare(a.ParticipantID, b.ParticipantID), strings.Compare(a.URL, b.URL), strings.Compare(a.AudioURL, b.AudioURL))
		}))
}

func (x *ref) artifacts(docs map[string]string) {
	groups := group(x.events, func(ev *eventlog.Event) string { return ev.SessionID })
	for id, evs := range groups {
		doc := projections.Artifacts{SessionID: id}
		for typ, to := range map[eventlog.Type]**projections.Link{
			eventlog.ChatSynced: &doc.Chat, eventlog.Transcript: &doc.Transcript, eventlog.Summary: &doc.Summary,
		} {
			for _, ev := range evs {
				l := projections.Link{URL: ev.Artifact.URL, ExpiresAt: ev.Artifact.ExpiresAt}
				if ev.Type == typ && (*to == nil || l.ExpiresAt > (*to).ExpiresAt || l.ExpiresAt == (*to).ExpiresAt && l.URL > (*to).URL) {
					*to = &l
				}
			}
		}
		if doc.Chat != nil || doc.Transcript != nil || doc.Summary != nil {
			docs[eventlog.EscapeID(id)] = string(doc.AppendJSON(nil))
		}
	}
}

func (x *ref) livestreams(docs map[string]string) {
	for id, evs := range group(x.events, func(ev *eventlog.Event) string { return ev.Livestream.StreamID }) {
		doc := projections.Livestream{StreamID: id, Transitions: []projections.StatusAt{}}
		doc.MeetingID = firstText(evs, func(ev *eventlog.Event) string { return ev.MeetingID })
		for _, ev := range evs {
			if ev.Livestream.Status == "" || ev.Livestream.Status == doc.Status {
				continue
			}
			if doc.Status == "LIVE" {
				doc.OnAirSeconds += ev.Order.At.Sub(doc.Transitions[len(doc.Transitions)-1].At)
			}
			doc.Status = ev.Livestream.Status
			doc.Transitions = append(doc.Transitions, projections.StatusAt{Status: doc.Status, At: ev.Order.At})
		}
		docs[eventlog.EscapeID(id)] = string(doc.AppendJSON(nil))
	}
}
