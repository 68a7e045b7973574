package query

import "rollcall/projections"

const viewAttendance = "attendance"

func attendanceView() *view {
	return &view{
		name: viewAttendance, item: "Participant", noun: "participant", id: "participantId", order: "participantId", special: true,
		indexes: []string{"sessionId, participantId", "participantId"},
		asked: []field{{Field: projections.Field{Name: "attendanceRatio", Kind: projections.KindRatio, Nullable: true,
			Doc: "attendedSeconds as a share of the session's durationSeconds; null while it is LIVE."}}},
	}
}
