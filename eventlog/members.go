package eventlog

// topMember reads one top-level member of a body.
func (x *parser) topMember(name []byte, p *payload) error {
	switch string(name) {
	case "event":
		return x.id("event", &p.event)
	case "meeting":
		p.meeting = meetingPart{}
		return x.nested("meeting", "meeting.", func(m []byte) error { return x.meetingMember(m, &p.meeting) })
	case "participant":
		p.participant = participantPart{}
		return x.nested("participant", "participant.", func(m []byte) error { return x.participantMember(m, &p.participant) })
	case "recording":
		p.recording = recordingPart{}
		return x.nested("recording", "recording.", func(m []byte) error { return x.recordingMember(m, &p.recording) })
	case "meetingId":
		return x.id("meetingId", &p.top.id)
	case "reason":
		return x.label("reason", &p.reason)
	case "chatDownloadUrl":
		return x.id("chatDownloadUrl", &p.chat.url)
	case "chatDownloadUrlExpiry":
		return x.time("chatDownloadUrlExpiry", &p.chat.expiry)
	case "transcriptDownloadUrl":
		return x.id("transcriptDownloadUrl", &p.script.url)
	case "transcriptDownloadUrlExpiry":
		return x.time("transcriptDownloadUrlExpiry", &p.script.expiry)
	case "summaryDownloadUrl":
		return x.id("summaryDownloadUrl", &p.brief.url)
	case "summaryDownloadUrlExpiry":
		return x.time("summaryDownloadUrlExpiry", &p.brief.expiry)
	case "streamId":
		return x.id("streamId", &p.streamID)
	case "status":
		return x.id("status", &p.status)
	case "id", "stopReason": // members of meeting that mean nothing at top level
		return x.skip()
	}
	return x.meetingMember(name, &p.top)
}

// meetingMember reads a member of the meeting object; topMember calls it for the
// same names at top level.
func (x *parser) meetingMember(name []byte, m *meetingPart) error {
	switch string(name) {
	case "id":
		return x.id("id", &m.id)
	case "sessionId":
		return x.id("sessionId", &m.sessionID)
	case "title":
		return x.text("title", &m.title, maxTitle, true)
	case "roomName":
		return x.label("roomName", &m.roomName)
	case "organizedBy":
		return x.organizer("organizedBy", &m.organizer)
	case "startedAt":
		return x.time("startedAt", &m.startedAt)
	case "endedAt":
		return x.time("endedAt", &m.endedAt)
	case "stopReason":
		return x.raw("stopReason", &m.stopReason)
	}
	return x.skip()
}

func (x *parser) participantMember(name []byte, m *participantPart) error {
	switch string(name) {
	case "peerId":
		return x.id("peerId", &m.peerID)
	case "customParticipantId":
		return x.id("customParticipantId", &m.customID)
	case "clientSpecificId":
		return x.id("clientSpecificId", &m.clientID)
	case "userDisplayName":
		return x.label("userDisplayName", &m.name)
	case "joinedAt":
		return x.time("joinedAt", &m.joinedAt)
	case "leftAt":
		return x.time("leftAt", &m.leftAt)
	}
	return x.skip()
}

// recordingMember reads a member of the recording object, under the names of all
// generations.
func (x *parser) recordingMember(name []byte, m *recordingPart) error {
	switch string(name) {
	case "id":
		return x.id("id", &m.id)
	case "recordingId":
		return x.id("recordingId", &m.recordingID)
	case "status":
		return x.id("status", &m.status)
	case "meetingId":
		return x.id("meetingId", &m.meetingID)
	case "roomUUID":
		return x.id("roomUUID", &m.roomUUID)
	case "organizationId":
		return x.id("organizationId", &m.organizationID)
	case "outputFileName":
		return x.label("outputFileName", &m.outputFileName)
	case "errMessage":
		return x.label("errMessage", &m.errMessage)
	case "stopReason":
		return x.raw("stopReason", &m.stopReason)
	case "startedTime":
		return x.time("startedTime", &m.startedTime)
	case "stoppedTime":
		return x.time("stoppedTime", &m.stoppedTime)
	case "downloadUrlExpiry":
		return x.time("downloadUrlExpiry", &m.expiry)
	case "fileSize":
		return x.size("fileSize", &m.fileSize)
	case "filesize":
		return x.size("filesize", &m.filesize)
	case "downloadUrl":
		return x.link("downloadUrl", &m.downloadURL, &m.files)
	case "download_url":
		var text string // means something as files alone
		return x.link("download_url", &text, &m.snakeFiles)
	case "audioDownloadUrl":
		return x.id("audioDownloadUrl", &m.audioDownloadURL)
	}
	return x.skip()
}
