package traffic

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// object builds a JSON object with its members in the order they are added, as
// the providers' bodies have theirs.
type object struct{ b []byte }

func (o *object) name(n string) {
	if len(o.b) == 0 {
		o.b = append(o.b, '{')
	} else {
		o.b = append(o.b, ',')
	}
	o.b, _ = jsontext.AppendQuote(o.b, n)
	o.b = append(o.b, ':')
}

func (o *object) str(n, v string) *object {
	o.name(n)
	o.b, _ = jsontext.AppendQuote(o.b, v)
	return o
}

// opt adds a text that is not empty.
func (o *object) opt(n, v string) *object {
	if v == "" {
		return o
	}
	return o.str(n, v)
}

func (o *object) num(n string, v int64) *object {
	return o.raw(n, strconv.FormatInt(v, 10))
}

func (o *object) raw(n, v string) *object {
	o.name(n)
	o.b = append(o.b, v...)
	return o
}

func (o *object) obj(n string, v *object) *object { return o.raw(n, string(v.json())) }

func (o *object) json() []byte {
	if len(o.b) == 0 {
		return []byte("{}")
	}
	return append(o.b[:len(o.b):len(o.b)], '}')
}

const (
	isoForm   = "2006-01-02T15:04:05.000Z"
	spaceForm = "2006-01-02 15:04:05.000000Z"
)

// iso is the form of meeting and participant times.
func iso(t time.Time) string { return t.UTC().Format(isoForm) }

// fileTime is the form of recording times and expiries, which Dyte's second
// generation sends with a space and microseconds.
func (g Generation) fileTime(t time.Time) string {
	if g == V2 {
		return t.UTC().Format(spaceForm)
	}
	return iso(t)
}

// meetingAt says which of the times that depend on the moment an event carries.
type meetingAt struct {
	ended     bool // endedAt has its value
	endedNull bool // endedAt is null
	noSession bool // the event names no session
}

// meeting is the `meeting` member as the session's generation sends it.
// `status` is LIVE in every sample of the providers, endings included.
func (s *session) meeting(at meetingAt) *object {
	o := new(object).str("id", s.room.id)
	switch s.gen {
	case V1:
		o.raw("title", "null").str("roomName", s.room.name).str("status", "LIVE").str("createdAt", iso(s.room.created))
	default:
		if !at.noSession {
			o.str("sessionId", s.id)
		}
		o.str("title", s.room.title)
		if s.room.name != "" {
			o.str("roomName", s.room.name)
		}
		o.str("status", "LIVE").str("createdAt", iso(s.room.created))
		if !at.noSession {
			o.str("startedAt", iso(s.start))
		}
		if at.ended {
			o.str("endedAt", iso(s.end))
		} else if at.endedNull {
			o.raw("endedAt", "null")
		}
	}
	return s.room.organizer(o)
}

func event(name string) *object { return new(object).str("event", name) }

func (s *session) startedBody() []byte {
	return event("meeting.started").obj("meeting", s.meeting(meetingAt{})).json()
}

func (s *session) endedBody(reason string) []byte {
	return event("meeting.ended").obj("meeting", s.meeting(meetingAt{ended: true})).opt("reason", reason).json()
}

func (s *session) participant(c *connection) *object {
	o := new(object).str("peerId", c.peer).str("userDisplayName", c.name)
	switch s.gen {
	case V1:
		return o.opt("clientSpecificId", c.person.customID)
	case V2:
		o.opt("clientSpecificId", c.person.customID)
	}
	return o.opt("customParticipantId", c.person.customID).str("joinedAt", iso(c.joined))
}

func (s *session) joinedBody(c *connection) []byte {
	return event("meeting.participantJoined").obj("meeting", s.meeting(meetingAt{})).obj("participant", s.participant(c)).json()
}

func (s *session) leftBody(c *connection) []byte {
	p := s.participant(c)
	if s.gen != V1 {
		p.str("leftAt", iso(c.left))
	}
	// RealtimeKit's leave may already know the end.
	known := s.gen == RTK && !c.left.Before(s.end)
	return event("meeting.participantLeft").obj("meeting", s.meeting(meetingAt{ended: known})).obj("participant", p).json()
}

func (s *session) chatBody(url string, expiry time.Time) []byte {
	o := event("meeting.chatSynced").str("sessionId", s.id).str("meetingId", s.room.id)
	if s.gen == RTK {
		o.str("title", s.room.title).str("createdAt", iso(s.room.created)).str("startedAt", iso(s.start)).str("endedAt", iso(s.end))
	}
	return s.room.organizer(o.str("chatDownloadUrl", url).str("chatDownloadUrlExpiry", s.gen.fileTime(expiry))).json()
}

func (s *session) transcriptBody(url string, expiry time.Time) []byte {
	return event("meeting.transcript").obj("meeting", s.meeting(meetingAt{ended: true})).
		str("transcriptDownloadUrl", url).str("transcriptDownloadUrlExpiry", s.gen.fileTime(expiry)).json()
}

func (s *session) summaryBody(url string, expiry time.Time) []byte {
	m := s.meeting(meetingAt{ended: true})
	if s.gen == RTK && s.bareSummary {
		// The newest documented sample names the session and nothing else.
		m = s.room.organizer(new(object).str("id", s.room.id).str("sessionId", s.id))
	}
	return event("meeting.summary").obj("meeting", m).
		str("summaryDownloadUrl", url).str("summaryDownloadUrlExpiry", s.gen.fileTime(expiry)).json()
}

func (s *session) recordingBody(r *recording, status string) []byte {
	o := new(object)
	if s.gen != V1 {
		o.str("id", r.id)
	}
	o.str("recordingId", r.id).str("status", status)
	if s.gen == V1 {
		o.str("invokedTime", iso(r.invoked))
	} else if status != "UPLOADING" || s.gen == RTK {
		o.str("meetingId", r.meetingID).str("outputFileName", r.file)
	}
	if s.gen != V1 {
		o.str("organizationId", s.room.org.id).str("roomUUID", s.id)
	}
	if status != "INVOKED" && (s.gen != V1 || status != "ERRORED") {
		o.str("startedTime", s.gen.fileTime(r.started))
	}
	switch status {
	case "UPLOADING":
		o.str("stoppedTime", s.gen.fileTime(r.stopped))
	case "UPLOADED":
		o.str("stoppedTime", s.gen.fileTime(r.stopped))
		s.fileSize(o, r)
		s.downloads(o, r)
	case "ERRORED":
		o.str("stoppedTime", s.gen.fileTime(r.stopped)).str("errMessage", "the recorder stopped without a file")
	}
	m := s.meeting(meetingAt{endedNull: true})
	if s.gen == V1 {
		return event("recording.statusUpdate").obj("meeting", m).obj("recording", o).json()
	}
	return event("recording.statusUpdate").obj("recording", o).obj("meeting", m).json()
}

// fileSize differs in each generation: a double under another name, a number,
// a text.
func (s *session) fileSize(o *object, r *recording) {
	switch s.gen {
	case V1:
		o.raw("filesize", strconv.FormatInt(r.bytes, 10)+".0")
	case V2:
		o.num("fileSize", r.bytes)
	default:
		o.str("fileSize", strconv.FormatInt(r.bytes, 10))
	}
}

func (s *session) downloads(o *object, r *recording) {
	switch {
	case r.noURL: // the provider's bucket is off
	case r.tracks:
		o.raw("downloadUrl", `[{"layer_name":"default","download_urls":{"audio":{"download_url":"`+r.url+`.webm"}}}]`)
	default:
		o.str("downloadUrl", r.url+".mp4").str("audioDownloadUrl", r.url+".mp3").
			str("downloadUrlExpiry", s.gen.fileTime(r.expiry))
	}
	if s.gen == V2 {
		o.str("stopReason", "{'reason': 'ALL_PEERS_LEFT', 'caller': {'type': 'INTERNAL'}}").num("recordingDuration", 0)
	} else if s.gen == RTK {
		o.num("recordingDuration", int64(r.stopped.Sub(r.started)/time.Second))
	}
}

func (s *session) livestreamBody(stream, key, status string) []byte {
	o := event("livestreaming.statusUpdate").str("streamId", stream).str("status", status)
	if s.gen != RTK {
		return o.json()
	}
	return o.raw("manualIngest", "false").str("playbackUrl", "https://live.example.com/"+stream+"/index.m3u8").
		str("ingestServer", "rtmps://ingest.example.com:443/live/").str("streamKey", key).
		obj("meeting", s.meeting(meetingAt{noSession: true})).json()
}
