package eventlog

// topMember reads one top-level member of a body.
func (x *parser) topMember(name string, p *payload) error {
	switch name {
	case "event":
		return x.id(name, &p.event)
	case "meeting":
		p.meeting = meetingPart{}
		return x.nested(name, func(m string) error { return x.meetingMember("meeting.", m, &p.meeting) })
	case "participant":
		p.participant = participantPart{}
		return x.nested(name, func(m string) error { return x.participantMember(m, &p.participant) })
	case "recording":
		p.recording = recordingPart{}
		return x.nested(name, func(m string) error { return x.recordingMember(m, &p.recording) })
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
	return x.meetingMember("", name, &p.top)
}

func (x *parser) meetingMember(prefix, name string, m *meetingPart) error {
	switch name {
	case "id":
		return x.id(prefix+name, &m.id)
	case "sessionId":
		return x.id(prefix+name, &m.sessionID)
	case "title":
		return x.text(prefix+name, &m.title, maxTitle, true)
	case "roomName":
		return x.label(prefix+name, &m.roomName)
	case "organizedBy":
		return x.organizer(prefix+name, &m.organizer)
	case "startedAt":
		return x.time(prefix+name, &m.startedAt)
	case "endedAt":
		return x.time(prefix+name, &m.endedAt)
	case "stopReason":
		return x.raw(prefix+name, &m.stopReason)
	}
	return x.dec.SkipValue()
}

func (x *parser) participantMember(name string, m *participantPart) error {
	const prefix = "participant."
	switch name {
	case "peerId":
		return x.id(prefix+name, &m.peerID)
	case "customParticipantId":
		return x.id(prefix+name, &m.customID)
	case "clientSpecificId":
		return x.id(prefix+name, &m.clientID)
	case "userDisplayName":
		return x.label(prefix+name, &m.name)
	case "joinedAt":
		return x.time(prefix+name, &m.joinedAt)
	case "leftAt":
		return x.time(prefix+name, &m.leftAt)
	}
	return x.dec.SkipValue()
}

func (x *parser) recordingMember(name string, m *recordingPart) error {
	const prefix = "recording."
	switch name {
	case "id":
		return x.id(prefix+name, &m.id)
	case "recordingId":
		return x.id(prefix+name, &m.recordingID)
	case "status":
		return x.id(prefix+name, &m.status)
	case "meetingId":
		return x.id(prefix+name, &m.meetingID)
	case "roomUUID":
		return x.id(prefix+name, &m.roomUUID)
	case "organizationId":
		return x.id(prefix+name, &m.organizationID)
	case "outputFileName":
		return x.label(prefix+name, &m.outputFileName)
	case "errMessage":
		return x.label(prefix+name, &m.errMessage)
	case "stopReason":
		return x.raw(prefix+name, &m.stopReason)
	case "startedTime":
		return x.time(prefix+name, &m.startedTime)
	case "stoppedTime":
		return x.time(prefix+name, &m.stoppedTime)
	case "downloadUrlExpiry":
		return x.time(prefix+name, &m.expiry)
	case "fileSize":
		return x.size(prefix+name, &m.fileSize)
	case "filesize":
		return x.size(prefix+name, &m.filesize)
	case "downloadUrl":
		return x.id(prefix+name, &m.downloadURL)
	case "audioDownloadUrl":
		return x.id(prefix+name, &m.audioDownloadURL)
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
