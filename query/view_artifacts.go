package query

const viewArtifacts = "artifacts"

// artifactsView is read as a part of sessions.
func artifactsView() *view {
	link := object(textOrNull("url", "Where to get it."), timeOrNull("expiresAt", "Until when the link works."))
	o := offer{schema: link}
	return &view{
		name: viewArtifacts, item: "Artifacts", noun: "artifact", id: "sessionId", order: "sessionId", special: true,
		indexes: []string{"sessionId"},
		offers:  map[string]offer{"chat": o, "transcript": o, "summary": o},
	}
}
