package query

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"rollcall/projections"
	"rollcall/query/replica"
)

const viewSessions = "sessions"

func sessionsView() *view {
	return &view{
		name: viewSessions, item: "Session", id: "sessionId", order: "-startedAt", special: true,
		filters: []filter{
			{param: textParam("meetingId", "Sessions of this meeting.")},
			{param: textParam("organizerId", "Sessions of this organizer.")},
			{param: textParam("participantId", "Sessions that this participant was in."), where: whereParticipant},
			{param: param{name: "from", kind: paramTime, doc: "Started at or after this time."}, where: whereFrom},
			{param: param{name: "to", kind: paramTime, doc: "Started before this time."}, where: whereTo},
			{param: param{name: "q", kind: paramSearch, doc: "Text in the title or an id, whatever the letter case, accents and form of Unicode."}, where: whereSearch},
			{param: param{name: "status", kind: paramEnum, enum: []string{projections.Live, projections.Ended}, doc: "Sessions of this status."}},
			{param: param{name: "stale", kind: paramBool, doc: "Only sessions that are stale, or only those that are not."}, where: whereStale},
		},
		search: []string{"title", "sessionId", "meetingId"},
		derived: []column{
			{name: "organizerId", kind: projections.KindText, from: func(found map[string]jsontext.Value) any { return organizer(found["organizer"]).ID }},
			{name: "organizerName", kind: projections.KindText, from: func(found map[string]jsontext.Value) any { return organizer(found["organizer"]).Name }},
		},
		indexes: []string{
			// The first holds what a search goes through, so that it need not read the rows.
			"startedAt, sessionId, search", "sessionId", "meetingId, startedAt, sessionId", "organizerId, startedAt", "status, startedAt",
			"title", "endedAt", "lastEventAt", "durationSeconds", "participantSeconds", "uniqueParticipants", "maxConcurrentParticipants", "liveParticipants", "connections",
		},
		csv: map[string]*csvField{"organizer": {names: []string{"organizerId", "organizerName"}, cells: organizerCells}},
		asked: []field{
			{Field: projections.Field{Name: "recordings", Kind: projections.KindList, Members: projections.RecordingRefFields(), Doc: "The session's recordings."},
				csv: &csvField{names: []string{"recordings"}, cells: joinRecordings}},
			{Field: projections.Field{Name: "artifacts", Kind: projections.KindObject, Nullable: true, Members: projections.ArtifactsFields(), Doc: "The session's chat, transcript and summary; null where none was announced."},
				schema: ref("Artifacts"), csv: &csvField{names: []string{"chatUrl", "transcriptUrl", "summaryUrl"}, cells: artifactCells}},
			{Field: projections.Field{Name: "supersededBy", Kind: projections.KindText, Nullable: true, Doc: "The meeting's next session, where this one is LIVE."}},
			{Field: projections.Field{Name: "stale", Kind: projections.KindBool, Doc: "LIVE, and superseded or long without an event."}},
		},
	}
}

func whereParticipant(s *replica.Snapshot, c *call) (string, []any) {
	return "s.sessionId IN (SELECT p.sessionId FROM " + s.Table(viewAttendance) + " p WHERE p.participantId = ?)", []any{c.text["participantId"]}
}

func whereFrom(_ *replica.Snapshot, c *call) (string, []any) {
	return "s.startedAt >= ?", []any{int64(c.times["from"])}
}

func whereTo(_ *replica.Snapshot, c *call) (string, []any) {
	return "s.startedAt < ? AND s.startedAt > 0", []any{int64(c.times["to"])}
}

func whereStale(s *replica.Snapshot, c *call) (string, []any) {
	condition := stale(s.Table(viewSessions), c)
	if !c.bools["stale"] {
		condition = "NOT " + condition
	}
	return condition, nil
}

func whereSearch(_ *replica.Snapshot, c *call) (string, []any) { return searchFor(c.text["q"]) }

// searchFor limits a list to rows whose members of view.search contain q; see
// searchText. It goes through an index that holds these texts in the list's
// order. FTS5 with trigrams was tried: it made the first load much slower and
// helped for rare texts only; see docs/perf/query.txt.
func searchFor(q string) (string, []any) {
	var conditions []string
	var args []any
	// The texts stand on lines of their own, and q may not reach over two.
	for part := range strings.SplitSeq(searchText(q), "\n") {
		conditions = append(conditions, `search LIKE ? ESCAPE '\'`)
		args = append(args, "%"+likeLiteral(part)+"%")
	}
	return strings.Join(conditions, " AND "), args
}

// likeLiteral escapes what LIKE gives a meaning to. LIKE ignores the case of
// ASCII letters, which searchText made small anyway; it is several times faster
// here than instr.
func likeLiteral(s string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(s)
}
