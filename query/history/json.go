package history

import (
	"encoding/base64"
	"strconv"

	"rollcall/eventlog"
)

// appendJSON appends a record as the API shows it, its body masked.
func appendJSON(b []byte, r *eventlog.Record) []byte {
	b = append(b, `{"sequence":`...)
	b = strconv.AppendUint(b, uint64(r.Seq), 10)
	b = eventlog.AppendText(append(b, `,"eventId":`...), r.EventID)
	b = eventlog.AppendText(append(b, `,"source":`...), r.Source)
	b = eventlog.AppendText(append(b, `,"type":`...), r.Type)
	b = append(b, `,"receivedAt":`...)
	b = r.ReceivedAt.AppendJSON(b)
	b = append(b, `,"body":`...)
	if body, ok := MaskedBody(r); ok {
		b = append(b, body...)
	} else {
		b = append(b, `null,"bodyBase64":"`...)
		b = base64.StdEncoding.AppendEncode(b, body)
		b = append(b, '"')
	}
	return append(b, '}')
}

// entryJSON is a record as a list shows it.
func entryJSON(r *eventlog.Record, about *Subject) []byte {
	b := appendJSON(nil, r)
	if about == nil {
		return b
	}
	b = b[:len(b)-1]
	for _, m := range [...]struct{ name, text string }{{"peerId", about.PeerID}, {"participantId", about.ParticipantID}, {"displayName", about.DisplayName}} {
		b = append(append(append(b, `,"`...), m.name...), `":`...)
		if m.text == "" {
			b = append(b, "null"...)
		} else {
			b = eventlog.AppendText(b, m.text)
		}
	}
	return append(b, '}')
}
