package query

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// sessionFields are the members of a Session, in the order of its JSON.
func sessionFields() []field {
	return []field{
		{name: "sessionId", kind: kindText, doc: "The session: one live instance of a meeting."},
		{name: "meetingId", kind: kindText, nullable: true, doc: "The meeting, a reusable room."},
		{name: "title", kind: kindText, nullable: true},
		{name: "roomName", kind: kindText, nullable: true},
		{name: "organizer", kind: kindObject, nullable: true, schema: object(textOrNull("id"), textOrNull("name")),
			csv: &csvField{names: []string{"organizerId", "organizerName"}, cells: organizerCells}},
		{name: "status", kind: kindText, enum: []string{"LIVE", "ENDED"}},
		{name: "startedAt", kind: kindTime, nullable: true},
		{name: "endedAt", kind: kindTime, nullable: true},
		{name: "endReason", kind: kindText, nullable: true},
		{name: "durationSeconds", kind: kindSeconds, nullable: true},
		{name: "liveParticipants", kind: kindInteger, doc: "Connections without an end."},
		{name: "uniqueParticipants", kind: kindInteger},
		{name: "connections", kind: kindInteger},
		{name: "maxConcurrentParticipants", kind: kindInteger},
		{name: "participantSeconds", kind: kindSeconds},
		{name: "implicit", kind: kindBool, doc: "No meeting.started was seen."},
		{name: "lastEventAt", kind: kindTime, nullable: true},
		{name: "anomalies", kind: kindObject, schema: list(schema("string")),
			csv: &csvField{names: []string{"anomalies"}, cells: joinTexts}},
		{name: "degradedSince", kind: kindTime, nullable: true, doc: "Received time of the earliest record that was set aside and is missing here."},
		{name: "recordings", kind: kindObject, asked: true,
			schema: list(object(member{"recordingId", schema("string")}, member{"status", schema("string", "null")})),
			csv:    &csvField{names: []string{"recordings"}, cells: joinRecordings}},
		{name: "artifacts", kind: kindObject, asked: true, nullable: true, schema: ref("Artifacts"),
			csv: &csvField{names: []string{"chatUrl", "transcriptUrl", "summaryUrl"}, cells: artifactCells}},
		{name: "supersededBy", kind: kindText, nullable: true, asked: true, doc: "The meeting's next session, where this one is LIVE."},
		{name: "stale", kind: kindBool, asked: true, doc: "LIVE, and superseded or long without an event."},
	}
}

// participantFields are the members of a Participant.
func participantFields() []field {
	connection := object(member{"peerId", schema("string")}, timeOrNull("joinedAt"), timeOrNull("leftAt"),
		textOrNull("closedBy"), member{"seconds", schema("number")})
	return []field{
		{name: "sessionId", kind: kindText},
		{name: "participantId", kind: kindText},
		{name: "displayName", kind: kindText, nullable: true},
		{name: "connections", kind: kindObject, schema: list(connection),
			csv: &csvField{names: []string{"connections"}, cells: countItems}},
		{name: "firstJoinedAt", kind: kindTime, nullable: true},
		{name: "lastLeftAt", kind: kindTime, nullable: true},
		{name: "present", kind: kindBool},
		{name: "connectedSeconds", kind: kindSeconds, doc: "Sum over connections: what providers bill."},
		{name: "attendedSeconds", kind: kindSeconds, doc: "Time in the session, two devices at once counted once."},
		{name: "longestGapSeconds", kind: kindSeconds},
		{name: "connectionsOmitted", kind: kindInteger, optional: true, doc: "How many earlier connections the list leaves out; only where it does."},
		{name: "attendanceRatio", kind: kindRatio, nullable: true, asked: true},
	}
}

// recordingFields are the members of a Recording.
func recordingFields() []field {
	return []field{
		{name: "recordingId", kind: kindText},
		{name: "status", kind: kindText, nullable: true},
		{name: "conflict", kind: kindBool, doc: "ERRORED and UPLOADED were both seen."},
		{name: "history", kind: kindObject, schema: list(object(textOrNull("status"), timeOrNull("at")))},
		{name: "sessionId", kind: kindText, nullable: true},
		{name: "meetingId", kind: kindText, nullable: true},
		{name: "organizationId", kind: kindText, nullable: true},
		{name: "startedAt", kind: kindTime, nullable: true},
		{name: "stoppedAt", kind: kindTime, nullable: true},
		{name: "durationSeconds", kind: kindSeconds, nullable: true},
		{name: "fileSizeBytes", kind: kindInteger, nullable: true},
		{name: "outputFileName", kind: kindText, nullable: true},
		{name: "error", kind: kindText, nullable: true},
		{name: "stopReason", kind: kindObject, nullable: true, schema: map[string]any{"description": "As the provider sent it."},
			csv: &csvField{names: []string{"stopReason"}, cells: rawCell}},
		{name: "downloadUrl", kind: kindText, nullable: true},
		{name: "audioDownloadUrl", kind: kindText, nullable: true},
		{name: "downloadUrlExpiresAt", kind: kindTime, nullable: true},
		{name: "files", kind: kindObject, nullable: true, schema: list(object(textOrNull("participantId"), textOrNull("url"), textOrNull("audioUrl"))),
			csv: &csvField{names: []string{"files"}, cells: joinFiles}},
		{name: "lastEventAt", kind: kindTime, nullable: true},
	}
}

// artifactFields are the members of an Artifacts document.
func artifactFields() []field {
	link := object(textOrNull("url"), timeOrNull("expiresAt"))
	link["type"] = []string{"object", "null"}
	return []field{
		{name: "sessionId", kind: kindText},
		{name: "chat", kind: kindObject, nullable: true, schema: link},
		{name: "transcript", kind: kindObject, nullable: true, schema: link},
		{name: "summary", kind: kindObject, nullable: true, schema: link},
	}
}

// livestreamFields are the members of a Livestream.
func livestreamFields() []field {
	return []field{
		{name: "streamId", kind: kindText},
		{name: "status", kind: kindText, nullable: true},
		{name: "meetingId", kind: kindText, nullable: true},
		{name: "transitions", kind: kindObject, schema: list(object(textOrNull("status"), timeOrNull("at"))),
			csv: &csvField{names: []string{"transitions"}, cells: countItems}},
		{name: "onAirSeconds", kind: kindSeconds},
	}
}

// usageFields are the members of a usage row.
func usageFields() []field {
	return []field{
		{name: "day", kind: kindText, nullable: true, doc: "A date in the time zone asked for; null where rows are not grouped by day."},
		{name: "organizerId", kind: kindText, nullable: true},
		{name: "organizerName", kind: kindText, nullable: true},
		{name: "sessions", kind: kindInteger},
		{name: "participantSeconds", kind: kindSeconds},
		{name: "attendedSeconds", kind: kindSeconds},
		{name: "recordingSeconds", kind: kindSeconds},
		{name: "peakParticipants", kind: kindInteger},
	}
}

// projectionFields are the members of a projection's state.
func projectionFields() []field {
	return []field{
		{name: "name", kind: kindText},
		{name: "version", kind: kindText, nullable: true},
		{name: "state", kind: kindText},
		{name: "sequence", kind: kindInteger},
		{name: "headSequence", kind: kindInteger},
		{name: "lag", kind: kindInteger, doc: "Records not folded yet."},
		{name: "lagSeconds", kind: kindSeconds, doc: "Age of the oldest record not folded yet."},
		{name: "parked", kind: kindInteger},
		{name: "bucket", kind: kindText, nullable: true},
	}
}

// pipelineFields are the members of a PipelineState.
func pipelineFields() []field {
	text, whole, number := schema("string"), schema("integer"), schema("number")
	at := func(name string) member {
		return member{name, map[string]any{"type": "string", "format": "date-time"}}
	}
	rates := []member{{"recordsPerSecond", number}, {"duplicatesPerSecond", number}, {"refusalsPerSecond", number}}
	return []field{
		{name: "at", kind: kindTime},
		{name: "ingest", kind: kindObject, schema: object(member{"processes", whole}, member{"records", whole}, member{"duplicates", whole},
			member{"refusals", whole}, member{"refusalsByReason", list(object(member{"reason", text}, member{"count", whole}))})},
		{name: "history", kind: kindObject, schema: list(object(append([]member{at("at")}, rates...)...))},
		{name: "rebuilds", kind: kindObject, schema: list(object(member{"view", text}, member{"generation", whole}, member{"bucket", text},
			member{"state", text}, member{"sequence", whole}, member{"headSequence", whole}, member{"share", number}, member{"perSecond", number},
			member{"etaSeconds", schema("number", "null")}, member{"elapsedSeconds", number}))},
		{name: "audits", kind: kindObject, schema: list(object(member{"view", text}, at("at"), member{"result", text}, member{"keys", whole},
			member{"differing", whole}, member{"sequence", whole}))},
		{name: "processes", kind: kindObject, schema: list(object(member{"process", text}, member{"host", text}, member{"roles", list(text)},
			at("startedAt"), at("heardAt"), member{"lost", schema("boolean")}, member{"projections", list(object(member{"name", text}, member{"state", text}))}, member{"problems", list(text)}))},
	}
}

// eventFields are the members of an event.
func eventFields() []field {
	return []field{
		{name: "sequence", kind: kindInteger},
		{name: "eventId", kind: kindText},
		{name: "source", kind: kindText},
		{name: "type", kind: kindText},
		{name: "receivedAt", kind: kindTime, nullable: true},
		{name: "body", kind: kindObject, nullable: true, schema: map[string]any{"description": "The JSON body as it was sent, streamKey masked; null where it is no JSON."},
			csv: &csvField{names: []string{"body"}, cells: rawCell}},
		{name: "bodyBase64", kind: kindText, optional: true, doc: "The bytes of a body that is no JSON."},
	}
}

func organizerCells(raw jsontext.Value) []string {
	o := organizer(raw)
	return []string{o.ID, o.Name}
}

type organizerDoc struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func organizer(raw jsontext.Value) (o organizerDoc) {
	if len(raw) > 0 && json.Unmarshal(raw, &o) != nil {
		return organizerDoc{}
	}
	return o
}

func joinTexts(raw jsontext.Value) []string {
	var all []string
	if json.Unmarshal(raw, &all) != nil {
		return []string{""}
	}
	return []string{strings.Join(all, "; ")}
}

func joinRecordings(raw jsontext.Value) []string {
	var all []struct {
		RecordingID string `json:"recordingId"`
		Status      string `json:"status"`
	}
	if json.Unmarshal(raw, &all) != nil {
		return []string{""}
	}
	parts := make([]string, len(all))
	for i, r := range all {
		parts[i] = r.RecordingID + " " + r.Status
	}
	return []string{strings.Join(parts, "; ")}
}

func joinFiles(raw jsontext.Value) []string {
	var all []struct {
		ParticipantID string `json:"participantId"`
		URL           string `json:"url"`
		AudioURL      string `json:"audioUrl"`
	}
	if json.Unmarshal(raw, &all) != nil {
		return []string{""}
	}
	parts := make([]string, len(all))
	for i, f := range all {
		parts[i] = strings.TrimSpace(f.ParticipantID + " " + cmp.Or(f.URL, f.AudioURL))
	}
	return []string{strings.Join(parts, "; ")}
}

func artifactCells(raw jsontext.Value) []string {
	type link struct {
		URL string `json:"url"`
	}
	var a struct {
		Chat       link `json:"chat"`
		Transcript link `json:"transcript"`
		Summary    link `json:"summary"`
	}
	if json.Unmarshal(raw, &a) != nil {
		return []string{"", "", ""}
	}
	return []string{a.Chat.URL, a.Transcript.URL, a.Summary.URL}
}

func countItems(raw jsontext.Value) []string {
	var all []jsontext.Value
	if json.Unmarshal(raw, &all) != nil {
		return []string{""}
	}
	return []string{strconv.Itoa(len(all))}
}

func rawCell(raw jsontext.Value) []string {
	switch {
	case len(raw) == 0 || raw.Kind() == 'n':
		return []string{""}
	case raw.Kind() == '"':
		return []string{text(raw)}
	}
	return []string{string(raw)}
}
