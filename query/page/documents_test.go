//go:build browser

package page_test

import (
	"fmt"
	"time"
)

// base is when the scenarios' meetings began: shortly before the test, so that
// what counts from now counts little.
var base = time.Now().UTC().Truncate(time.Second).Add(-42 * time.Minute)

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// clockPattern is how the page writes a moment of the scenarios: with its day where
// midnight has come since they began.
func clockPattern() string {
	zone, err := time.LoadLocation(browserZone)
	if err != nil {
		panic(err) // of the machine: there are no zones
	}
	const clock = `\d\d:\d\d:\d\d`
	if began, now := base.In(zone), time.Now().In(zone); began.Day() != now.Day() {
		return `(?:\w+\s\w+,?\s\d{4},\s)?` + clock
	}
	return clock
}

func minute(n float64) time.Time { return base.Add(time.Duration(n * float64(time.Minute))) }

// aSession is a LIVE session with sensible figures; change overwrites some.
func aSession(id, title string, change doc) doc {
	d := doc{
		"sessionId": id, "meetingId": "meeting-" + id, "title": title, "roomName": nil, "organizer": doc{"id": "org-1", "name": "Acme GmbH"},
		"status": "LIVE", "startedAt": stamp(base), "endedAt": nil, "endReason": nil, "durationSeconds": nil,
		"liveParticipants": 3, "uniqueParticipants": 4, "connections": 5, "maxConcurrentParticipants": 4, "participantSeconds": 5400.0,
		"implicit": false, "lastEventAt": stamp(minute(41)), "anomalies": []string{}, "degradedSince": nil,
		"recordings": []doc{}, "artifacts": nil, "supersededBy": nil, "stale": false,
	}
	for k, v := range change {
		d[k] = v
	}
	return d
}

// connection is from and to in minutes after base; to = -1 is open.
func connection(peer string, from, to float64, closedBy string) doc {
	c := doc{"peerId": peer, "joinedAt": stamp(minute(from)), "leftAt": nil, "closedBy": nil, "seconds": 0}
	if to != -1 {
		c["leftAt"], c["closedBy"], c["seconds"] = stamp(minute(to)), closedBy, (to-from)*60
	}
	return c
}

// aParticipant sums up its connections, which do not overlap.
func aParticipant(session, id, name string, connections ...doc) doc {
	seconds, present := 0.0, false
	var last any
	for _, c := range connections {
		seconds += asFloat(c["seconds"])
		present = present || c["leftAt"] == nil
		last = c["leftAt"]
	}
	if present {
		last = nil
	}
	return doc{
		"sessionId": session, "participantId": id, "displayName": name, "connections": connections, "firstJoinedAt": connections[0]["joinedAt"],
		"lastLeftAt": last, "present": present, "connectedSeconds": seconds, "attendedSeconds": seconds, "longestGapSeconds": 0.0, "attendanceRatio": nil, "gaps": gapsOf(connections),
	}
}

// gapsOf are the times between connections that do not overlap.
func gapsOf(connections []doc) []doc {
	list := []doc{}
	for i := range len(connections) - 1 {
		from, to := connections[i]["leftAt"], connections[i+1]["joinedAt"].(string)
		if from, ok := from.(string); ok && from < to {
			a, _ := time.Parse(time.RFC3339, from)
			b, _ := time.Parse(time.RFC3339, to)
			list = append(list, doc{"from": from, "to": to, "seconds": b.Sub(a).Seconds()})
		}
	}
	return list
}

func asFloat(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case int:
		return float64(v)
	}
	return 0
}

func aRecording(id, session, status string, change doc) doc {
	history := []doc{}
	for i, s := range []string{"INVOKED", "RECORDING", "UPLOADING", "UPLOADED"} {
		history = append(history, doc{"status": s, "at": stamp(minute(float64(2 + 5*i)))})
		if s == status {
			break
		}
	}
	if status == "ERRORED" {
		history = []doc{{"status": "INVOKED", "at": stamp(minute(2))}, {"status": "RECORDING", "at": stamp(minute(3))}, {"status": "ERRORED", "at": stamp(minute(9))}}
	}
	d := doc{
		"recordingId": id, "status": status, "conflict": false, "history": history, "sessionId": session, "meetingId": "meeting-" + session,
		"organizationId": "org-1", "startedAt": stamp(minute(3)), "stoppedAt": nil, "durationSeconds": nil, "fileSizeBytes": nil,
		"outputFileName": id + ".mp4", "error": nil, "stopReason": nil, "downloadUrl": nil, "audioDownloadUrl": nil, "downloadUrlExpiresAt": nil,
		"files": nil, "lastEventAt": history[len(history)-1]["at"],
	}
	if status == "UPLOADED" {
		d["stoppedAt"], d["durationSeconds"], d["fileSizeBytes"] = stamp(minute(12)), 540.0, 48_300_000
		d["downloadUrl"], d["downloadUrlExpiresAt"] = "https://files.example/"+id+".mp4?sig=x", stamp(base.Add(20*time.Hour))
	}
	for k, v := range change {
		d[k] = v
	}
	return d
}

// scene fills a stand-in with a day's worth of everything: the browser tests and
// the pictures in docs/img show it.
func scene(s *standIn) {
	titles := []string{"Weekly planning", "Physics 101: waves", "Support: invoice", "Design review", "All hands", "Interview", "Physics 101: optics", "Stand-up", "Customer onboarding", "Board"}
	sessions := map[string]doc{}
	for i, title := range titles {
		id := fmt.Sprintf("3f9a%04d-7c1e-4b0a-9d2f-00000000%04d", i, i)
		in := 2 + (i*7)%19
		sessions[id] = aSession(id, title, doc{
			"startedAt": stamp(minute(float64(3 * i))), "liveParticipants": in, "uniqueParticipants": in + 3, "connections": in + 6,
			"maxConcurrentParticipants": in + 2, "organizer": doc{"id": fmt.Sprintf("org-%d", i%3), "name": []string{"Acme GmbH", "Northwind", "City College"}[i%3]},
			"lastEventAt": stamp(minute(41.5 - float64(i)/4)),
		})
	}
	lecture := "lecture-1"
	sessions[lecture] = aSession(lecture, "Lecture: distributed systems", doc{
		"meetingId": "room-7", "liveParticipants": 11, "uniqueParticipants": 14, "connections": 21, "maxConcurrentParticipants": 16, "participantSeconds": 21930.0,
		"recordings": []doc{{"recordingId": "rec-live", "status": "RECORDING"}},
		"artifacts":  doc{"sessionId": lecture, "chat": doc{"url": "https://files.example/chat.csv", "expiresAt": stamp(base.Add(30 * time.Hour))}, "transcript": nil, "summary": nil},
	})
	sessions["ghost-1"] = aSession("ghost-1", "Ghost meeting", doc{"stale": true, "liveParticipants": 1, "startedAt": stamp(base.Add(-30 * time.Hour)), "lastEventAt": stamp(base.Add(-29 * time.Hour)), "supersededBy": lecture})
	sessions["ended-1"] = aSession("ended-1", "Yesterday's lecture", doc{
		"status": "ENDED", "startedAt": stamp(minute(0)), "endedAt": stamp(minute(38)), "endReason": "ALL_PARTICIPANTS_LEFT", "durationSeconds": 2280.0,
		"liveParticipants": 0, "anomalies": []string{"left-after-end"}, "implicit": true,
	})
	s.fill("sessions", sessions)
	s.fill("attendance", lectureAttendance(lecture))
	s.fill("attendance", map[string]doc{
		"ended-1/ada":   withRatio(aParticipant("ended-1", "ada", "Ada", connection("p1", 0, 12, "LEFT"), connection("p2", 15, 38, "LEFT")), 0.92, 180),
		"ended-1/grace": withRatio(aParticipant("ended-1", "grace", "Grace", connection("p3", 4, 38, "MEETING_END")), 0.89, 0),
		"ended-1/linus": withRatio(aParticipant("ended-1", "linus", "", connection("p4", 30, 36, "LEFT")), 0.16, 0),
	})
	s.fill("sessions", map[string]doc{"seminar-1": aSession("seminar-1", "Seminar: compilers", doc{"status": "ENDED", "startedAt": stamp(minute(-30000)), "endedAt": stamp(minute(-29940)), "durationSeconds": 3600.0, "liveParticipants": 0})})
	s.fill("attendance", map[string]doc{
		// Two people of one name, one of whom has two names.
		"seminar-1/grace":                   withRatio(aParticipant("seminar-1", "grace", "Grace H.", connection("p5", -30000, -29940, "LEFT")), 1, 0),
		"seminar-1/grace.h@college.example": withRatio(aParticipant("seminar-1", "grace.h@college.example", "Grace", connection("p6", -29990, -29970, "LEFT")), 0.333, 0),
	})
	s.fill("recordings", map[string]doc{
		"rec-live":  aRecording("rec-live", lecture, "RECORDING", doc{"meetingId": "room-7", "lastEventAt": stamp(minute(40))}),
		"rec-stuck": aRecording("rec-stuck", "ended-1", "UPLOADING", nil),
		"rec-done":  aRecording("rec-done", "ended-1", "UPLOADED", nil),
		"rec-done2": aRecording("rec-done2", "ghost-1", "UPLOADED", doc{"downloadUrlExpiresAt": stamp(base.Add(-time.Hour))}),
		"rec-error": aRecording("rec-error", "ghost-1", "ERRORED", doc{"error": "the encoder ran out of disk"}),
		"rec-new":   aRecording("rec-new", "ghost-1", "INVOKED", doc{"lastEventAt": stamp(minute(41))}),
	})
	s.fill("livestreams", map[string]doc{
		"stream-1": {"streamId": "stream-1", "status": "LIVE", "meetingId": "room-7", "transitions": []doc{{"status": "LIVE", "at": stamp(minute(4))}, {"status": "OFFLINE", "at": stamp(minute(9))}, {"status": "LIVE", "at": stamp(minute(11))}}, "onAirSeconds": 300.0},
		"stream-2": {"streamId": "stream-2", "status": "OFFLINE", "meetingId": nil, "transitions": []doc{{"status": "LIVE", "at": stamp(minute(-60))}, {"status": "OFFLINE", "at": stamp(minute(-20))}}, "onAirSeconds": 2400.0},
	})
	s.fill("projections", projectionDocs())
	s.fill("usage", usageDocs())
	s.fill("closings", closingDocs())
	s.fill("events", map[string]doc{"48209": {"sequence": 48209, "eventId": "01JD0000000000000000000009", "type": "meeting.participantLeft", "body": doc{"participant": doc{"leftAt": "2026-10-02T10:07:30.250Z"}}}})
	s.fill("pipeline", map[string]doc{"now": pipelineDoc()})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.docs["asOf"] = map[string]doc{"ended-1": sessions["ended-1"], lecture: aSession(lecture, "Lecture: distributed systems", doc{"liveParticipants": 2, "uniqueParticipants": 2, "connections": 2, "maxConcurrentParticipants": 2, "lastEventAt": stamp(minute(3))})}
	s.events["ended-1"] = endedRecords()
	s.events[lecture] = []doc{
		{"sequence": 101, "eventId": "01JD0000000000000000000001", "source": "prod", "type": "meeting.started", "receivedAt": stamp(minute(0.02)), "body": doc{"event": "meeting.started", "meeting": doc{"sessionId": lecture, "startedAt": stamp(base)}}},
		{"sequence": 104, "eventId": "01JD0000000000000000000002", "source": "prod", "type": "meeting.participantJoined", "receivedAt": stamp(minute(3.5)), "peerId": "person-00-a", "participantId": "person-00", "displayName": "Ada Lovelace", "body": doc{"event": "meeting.participantJoined", "participant": doc{"joinedAt": stamp(minute(1))}}},
		{"sequence": 109, "eventId": "01JD0000000000000000000003", "source": "prod", "type": nil, "receivedAt": stamp(minute(5)), "body": nil, "bodyBase64": "e25vdCBqc29u"},
	}
}

// endedRecords are those of yesterday's lecture: Ada's first leave came late, and so did the end.
func endedRecords() []doc {
	n := 200
	record := func(typ string, received float64, body doc, who ...any) doc {
		n++
		d := doc{"sequence": n, "eventId": fmt.Sprintf("01JD1%021d", n), "source": "prod", "type": typ, "receivedAt": stamp(minute(received)), "body": body, "peerId": nil, "participantId": nil, "displayName": nil}
		if len(who) > 0 {
			d["peerId"], d["participantId"], d["displayName"] = who[0], who[1], who[2]
		}
		return d
	}
	body := func(member, field string, at float64) doc { return doc{member: doc{field: stamp(minute(at))}} }
	return []doc{
		record("meeting.started", 0.01, body("meeting", "startedAt", 0)),
		record("meeting.participantJoined", 0.02, body("participant", "joinedAt", 0), "p1", "ada", "Ada"),
		record("meeting.participantJoined", 4.01, body("participant", "joinedAt", 4), "p3", "grace", "Grace"),
		record("meeting.participantJoined", 15.01, body("participant", "joinedAt", 15), "p2", "ada", "Ada"),
		record("meeting.participantLeft", 21, body("participant", "leftAt", 12), "p1", "ada", "Ada"),
		record("meeting.participantJoined", 30.01, body("participant", "joinedAt", 30), "p4", "linus", nil),
		record("meeting.participantLeft", 36.02, body("participant", "leftAt", 36), "p4", "linus", nil),
		record("meeting.participantLeft", 38.01, body("participant", "leftAt", 38), "p2", "ada", "Ada"),
		record("recording.statusUpdate", 38.5, doc{"recording": doc{"recordingId": "rec-done"}}),
		record("meeting.ended", 40, body("meeting", "endedAt", 38)),
	}
}

func withRatio(p doc, ratio, gap float64) doc {
	p["attendanceRatio"], p["longestGapSeconds"] = ratio, gap
	return p
}

func lectureAttendance(lecture string) map[string]doc {
	names := []string{"Ada Lovelace", "Grace Hopper", "Edsger Dijkstra", "Barbara Liskov", "Leslie Lamport", "Radia Perlman", "Ken Thompson", "Frances Allen", "Donald Knuth", "Margaret Hamilton", "Tony Hoare", "Katherine Johnson", "Niklaus Wirth", "Hedy Lamarr"}
	all := map[string]doc{}
	for i, name := range names {
		id := fmt.Sprintf("person-%02d", i)
		join := float64(i) * 1.3
		var c []doc
		switch i % 4 {
		case 0:
			c = []doc{connection(id+"-a", join, -1, "")}
		case 1:
			c = []doc{connection(id+"-a", join, join+9, "LEFT"), connection(id+"-b", join+11, -1, "")}
		case 2:
			c = []doc{connection(id+"-a", join, 36-join/3, "LEFT")}
		default:
			c = []doc{connection(id+"-a", join, join+14, "LEFT"), connection(id+"-b", join+8, -1, "")}
		}
		all[lecture+"/"+id] = aParticipant(lecture, id, name, c...)
	}
	return all
}

func projectionDocs() map[string]doc {
	all := map[string]doc{}
	for _, name := range []string{"sessions", "attendance", "recordings", "artifacts", "livestreams", "usage"} {
		all[name] = doc{"name": name, "version": "1", "state": "live", "sequence": 48210, "headSequence": 48210, "lag": 0, "lagSeconds": 0.0, "parked": 0, "bucket": name + "_g1"}
	}
	all["usage"]["state"], all["usage"]["sequence"], all["usage"]["lag"], all["usage"]["lagSeconds"] = "catching-up", 31022, 17188, 94.0
	all["recordings"]["parked"] = 2
	return all
}

// pipelineDoc has an ingester and two projectors, one of which is lost, a rebuild
// and audits, one of which found something.
func pipelineDoc() doc {
	now := time.Now()
	history := []doc{}
	for i := range 90 {
		history = append(history, doc{"at": stamp(now.Add(time.Duration(i-90) * 2 * time.Second)), "recordsPerSecond": 18 + float64((i*i*7)%23), "duplicatesPerSecond": float64((i*5)%7) / 4, "refusalsPerSecond": float64(max(0, 12-(i-50)*(i-50)))})
	}
	audits := []doc{}
	for i, view := range []string{"attendance", "livestreams", "recordings", "sessions", "usage"} {
		audits = append(audits, doc{"view": view, "at": stamp(now.Add(-time.Duration(i) * time.Minute)), "result": "equal", "keys": 1200 - 200*i, "differing": 0, "sequence": 48000})
	}
	audits[2]["result"], audits[2]["differing"] = "different", 3
	audits[1]["result"], audits[1]["keys"] = "failed", 0
	runs := func(state string, names ...string) []doc {
		all := []doc{}
		for _, name := range names {
			all = append(all, doc{"name": name, "state": state})
		}
		return all
	}
	process := func(id, host string, lost bool, roles []string, projections []doc) doc {
		return doc{"process": id, "host": host, "roles": roles, "startedAt": stamp(minute(-200)), "heardAt": stamp(now), "lost": lost, "projections": projections}
	}
	front := process("01JDA3Z5N8Q2V7X4C6B9M1K0TR", "front-1", false, []string{"ingest"}, []doc{})
	front["problems"] = []string{"nothing can be stored: the disk of --data-dir is full, or can't be written"}
	front["warnings"] = []string{"a source takes events of any organization: give it organizationIds (the log names it)"}
	lost := process("01JDA3Z5N8Q2V7X4C6B9M1K0TT", "fold-2", true, []string{"project"}, runs("standby", "sessions", "attendance"))
	lost["problems"] = []string{"said before it was lost"}
	return doc{
		"at": stamp(now), "history": history, "audits": audits,
		"ingest":   doc{"processes": 1, "records": 48210, "duplicates": 1904, "refusals": 57, "refusalsByReason": []doc{{"reason": "signature-wrong", "count": 41}, {"reason": "rate-limited", "count": 16}}},
		"rebuilds": []doc{{"view": "usage", "generation": 2, "bucket": "usage_g2", "state": "catching-up", "sequence": 31022, "headSequence": 48210, "share": 0.643, "perSecond": 2140.0, "etaSeconds": 8.03, "elapsedSeconds": 14.5}},
		"processes": []doc{
			front,
			process("01JDA3Z5N8Q2V7X4C6B9M1K0TS", "fold-1", false, []string{"project"}, runs("live", "sessions", "attendance", "recordings", "artifacts")),
			lost,
		},
	}
}
