package query

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/query/replica"
)

const viewAttendance = "attendance"

func attendanceView() *view {
	return &view{
		name: viewAttendance, item: "Participant", id: "participantId", order: "participantId", special: true,
		filters: []filter{
			{param: param{name: "attendedAtLeast", kind: paramRatio, doc: "attendanceRatio is at least this; where it is null, it is not."}, where: whereAttended},
		},
		search:  []string{"displayName", "participantId"},
		derived: []column{{name: "lastJoinedAt", kind: projections.KindTime, from: lastJoinedAt}},
		indexes: []string{
			"sessionId, participantId",
			// The rest are for finding people; see API.people. The first has all of a person
			// but the documents, the last what a search goes through.
			"participantId, lastJoinedAt, sessionId, displayName", "lastJoinedAt, participantId, sessionId", "search, participantId",
		},
		asked: []field{
			{Field: projections.Field{Name: "attendanceRatio", Kind: projections.KindRatio, Nullable: true,
				Doc: "attendedSeconds as a share of the session's durationSeconds; null while it is LIVE."}},
			{Field: projections.Field{Name: "gaps", Kind: projections.KindList, Members: projections.GapFields(), Nullable: true,
				Doc: "All times between two connections that none covers, by the rules of longestGapSeconds; null where connectionsOmitted says that the list of connections is not whole."}},
		},
	}
}

// lastJoinedAt is when the last connection of a participant began; they are
// sorted by that.
func lastJoinedAt(found map[string]jsontext.Value) any {
	var connections []struct {
		JoinedAt eventlog.Time `json:"joinedAt"`
	}
	if json.Unmarshal(found["connections"], &connections) != nil || len(connections) == 0 {
		return int64(0)
	}
	return int64(connections[len(connections)-1].JoinedAt)
}

// whereAttended computes attendanceRatio as projections.AttendanceRatio does.
func whereAttended(_ *replica.Snapshot, c *call) (string, []any) {
	return "m.durationSeconds > 0 AND MIN(1.0, 1.0 * s.attendedSeconds / m.durationSeconds) >= ?", []any{c.ratios["attendedAtLeast"]}
}
