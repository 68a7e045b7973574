package query

const viewArtifacts = "artifacts"

// artifactsView is read as a part of sessions.
func artifactsView() *view {
	return &view{name: viewArtifacts, item: "Artifacts", special: true, indexes: []string{"sessionId"}}
}
