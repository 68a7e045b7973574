package eventlog

import (
	"bytes"
	"cmp"
)

// Decode returns what a record means. It never fails: what could not be read
// is absent, and named in Problems.
func Decode(r *Record) (ev Event) {
	DecodeTo(&ev, r)
	return ev
}

// DecodeTo sets ev to what Decode returns. An Event is large: decode
// many into the same one.
func DecodeTo(ev *Event, r *Record) {
	*ev = Event{Seq: r.Seq, Source: r.Source, Order: r.Order(), Repeat: r.RepeatKey()}
	x := parsers.Get().(*parser)
	defer x.release()
	var p payload
	if !x.parse(r.Content(), &p) {
		ev.Type = Unreadable
		return
	}
	ev.Type = TypeOf(p.event)
	ev.Problems = x.problems
	if ev.Type.Known() {
		ev.fill(&p)
	}
}

// release gives the parser back without keeping the body alive.
func (x *parser) release() {
	x.buf, x.lex = bytes.Buffer{}, lexer{}
	x.problems = nil
	if cap(x.scratch) > maxTitle {
		x.scratch = nil
	}
	parsers.Put(x)
}

// fill gives the payload its meaning by the event's type. What stands in the
// meeting object goes before the same member at top level.
func (ev *Event) fill(p *payload) {
	ev.SessionID = cmp.Or(p.meeting.sessionID, p.top.sessionID)
	ev.MeetingID = cmp.Or(p.meeting.id, p.top.id)
	ev.Title = cmp.Or(p.meeting.title, p.top.title)
	ev.RoomName = cmp.Or(p.meeting.roomName, p.top.roomName)
	ev.Organizer = cmp.Or(p.meeting.organizer, p.top.organizer)

	times := &p.meeting
	if ev.Type == ChatSynced { // flat: it has no meeting object
		times = &p.top
	}
	ev.StartedAt = ev.take(times.startedAt, BadStartedAt)

	switch ev.Type {
	case MeetingEnded, Transcript, Summary, ChatSynced:
		ev.EndedAt = ev.take(times.endedAt, BadEndedAt)
	}
	switch ev.Type {
	case MeetingEnded:
		ev.Reason = p.reason
	case ParticipantJoined, ParticipantLeft:
		ev.fillParticipant(&p.participant)
	case ChatSynced:
		ev.Artifact = Artifact{URL: p.chat.url, ExpiresAt: p.chat.expiry.t}
	case Transcript:
		ev.Artifact = Artifact{URL: p.script.url, ExpiresAt: p.script.expiry.t}
	case Summary:
		ev.Artifact = Artifact{URL: p.brief.url, ExpiresAt: p.brief.expiry.t}
	case RecordingStatus:
		ev.fillRecording(p)
	case LivestreamStatus:
		ev.Livestream = Livestream{StreamID: p.streamID, Status: p.status}
	}
}

// take returns the time and marks bit where it was unreadable.
func (ev *Event) take(t readTime, bit BadTime) Time {
	if t.bad {
		ev.BadTimes |= bit
	}
	return t.t
}

func (ev *Event) fillParticipant(m *participantPart) {
	ev.Participant = Participant{
		PeerID: m.peerID, CustomID: m.customID, ClientID: m.clientID, Name: m.name,
		JoinedAt: ev.take(m.joinedAt, BadJoinedAt),
	}
	if ev.Type == ParticipantLeft { // a join with a leftAt was seen in v1 logs: it is no leave
		ev.Participant.LeftAt = ev.take(m.leftAt, BadLeftAt)
	}
}

// fillRecording takes the recording object, and the members that another
// generation has elsewhere or under another name.
func (ev *Event) fillRecording(p *payload) {
	m := &p.recording
	size := m.fileSize
	if !size.ok {
		size = m.filesize
	}
	reason := m.stopReason
	if reason == nil {
		reason = p.meeting.stopReason
	}
	files := m.files
	if files == nil && m.downloadURL == "" {
		files = m.snakeFiles
	}
	ev.Recording = Recording{
		ID: cmp.Or(m.recordingID, m.id), Status: m.status,
		InMeeting: p.meeting.id, InSession: p.meeting.sessionID,
		MeetingID: m.meetingID, RoomUUID: m.roomUUID, OrganizationID: m.organizationID,
		OutputFileName: m.outputFileName, Error: m.errMessage, StopReason: reason,
		StartedAt: m.startedTime.t, StoppedAt: m.stoppedTime.t,
		FileSize: size.n, HasFileSize: size.ok,
		DownloadURL: m.downloadURL, AudioDownloadURL: m.audioDownloadURL, Files: files, ExpiresAt: m.expiry.t,
	}
}
