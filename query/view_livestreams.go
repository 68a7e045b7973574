package query

const viewLivestreams = "livestreams"

func livestreamsView() *view {
	return &view{
		name: viewLivestreams, item: "Livestream", noun: "livestream", id: "streamId", order: "streamId",
		filters: []filter{
			{param: textParam("status", "Livestreams in this state.")},
			{param: textParam("meetingId", "Livestreams of this meeting.")},
		},
		indexes: []string{"streamId"},
	}
}
