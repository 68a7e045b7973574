package eventlog

// topMember reads one top-level member of a body.
func (x *parser) topMember(name string, p *payload) error {
	switch name {
	case "event":
		return x.id(name, &p.event)
	case "meeting":
		p.meeting = meetingPart{}
		return x.nested("meeting", "meeting.", func(m string) error { return x.meetingMember(m, &p.meeting) })
	case "participant":
		p.participant = participantPart{}
		return x.nested("participant", "participant.", func(m string) error { return x.participantMember(m, &p.participant) })
	case "recording":
		p.recording = recordingPart{}
		return x.nested("recording", "recording.", func(m string) error { return x.recordingMember(m, &p.recording) })
	case "meetingId":
		return x.id(name, &p.top.id)
	case "reason":
		return x.label(name, &p.reason)
	case "chatDownloadUrl":
		return x.id(name, &p.chat.url)
	case "chatDownloadUrlExpiry":
		return x.time(name, &p.chat.expiry)
	case "transcriptDownloadUrl":
		return x.id(name, &p.script.url)
	case "transcriptDownloadUrlExpiry":
		return x.time(name, &p.script.expiry)
	case "summaryDownloadUrl":
		return x.id(name, &p.brief.url)
	case "summaryDownloadUrlExpiry":
		return x.time(name, &p.brief.expiry)
	case "streamId":
		return x.id(name, &p.streamID)
	case "status":
		return x.id(name, &p.status)
	case "id", "stopReason": // members of meeting that mean nothing at top level
		return x.dec.SkipValue()
	}
	return x.meetingMember(name, &p.top)
}

func (x *parser) meetingMember(name string, m *meetingPart) error {
	switch name {
	case "id":
		return x.id(name, &m.id)
	case "sessionId":
		return x.id(name, &m.sessionID)
	case "title":
		return x.text(name, &m.title, maxTitle, true)
	case "roomName":
		return x.label(name, &m.roomName)
	case "organizedBy":
		return x.organizer(name, &m.organizer)
	case "startedAt":
		return x.time(name, &m.startedAt)
	case "endedAt":
		return x.time(name, &m.endedAt)
	case "stopReason":
		return x.raw(name, &m.stopReason)
	}
	return x.dec.SkipValue()
}

func (x *parser) participantMember(name string, m *participantPart) error {
	switch name {
	case "peerId":
		return x.id(name, &m.peerID)
	case "customParticipantId":
		return x.id(name, &m.customID)
	case "clientSpecificId":
		return x.id(name, &m.clientID)
	case "userDisplayName":
		return x.label(name, &m.name)
	case "joinedAt":
		return x.time(name, &m.joinedAt)
	case "leftAt":
		return x.time(name, &m.leftAt)
	}
	return x.dec.SkipValue()
}

func (x *parser) recordingMember(name string, m *recordingPart) error {
	switch name {
	case "id":
		return x.id(name, &m.id)
	case "recordingId":
		return x.id(name, &m.recordingID)
	case "status":
		return x.id(name, &m.status)
	case "meetingId":
		return x.id(name, &m.meetingID)
	case "roomUUID":
		return x.id(name, &m.roomUUID)
	case "organizationId":
		return x.id(name, &m.organizationID)
	case "outputFileName":
		return x.label(name, &m.outputFileName)
	case "errMessage":
		return x.label(name, &m.errMessage)
	case "stopReason":
		return x.raw(name, &m.stopReason)
	case "startedTime":
		return x.time(name, &m.startedTime)
	case "stoppedTime":
		return x.time(name, &m.stoppedTime)
	case "downloadUrlExpiry":
		return x.time(name, &m.expiry)
	case "fileSize":
		return x.size(name, &m.fileSize)
	case "filesize":
		return x.size(name, &m.filesize)
	case "downloadUrl":
		return x.id(name, &m.downloadURL)
	case "audioDownloadUrl":
		return x.id(name, &m.audioDownloadURL)
	}
	return x.dec.SkipValue()
}

// intern returns the member names that bodies are made of without allocating.
func intern(name []byte) string {
	if s, ok := memberNames[string(name)]; ok {
		return s
	}
	return string(name)
}

var memberNames = func() map[string]string {
	names := map[string]string{}
	for _, n := range []string{
		"event", "meeting", "participant", "recording", "meetingId", "reason", "chatDownloadUrl",
		"chatDownloadUrlExpiry", "transcriptDownloadUrl", "transcriptDownloadUrlExpiry",
		"summaryDownloadUrl", "summaryDownloadUrlExpiry", "streamId", "status", "id", "sessionId",
		"title", "roomName", "organizedBy", "name", "startedAt", "endedAt", "stopReason", "peerId",
		"customParticipantId", "clientSpecificId", "userDisplayName", "joinedAt", "leftAt",
		"recordingId", "roomUUID", "organizationId", "outputFileName", "errMessage", "startedTime",
		"stoppedTime", "downloadUrlExpiry", "fileSize", "filesize", "downloadUrl", "audioDownloadUrl",
		"createdAt", "recordingDuration", "invokedTime", "playbackUrl", "ingestServer", "streamKey",
		"manualIngest",
	} {
		names[n] = n
	}
	return names
}()
