package history

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"rollcall/eventlog"
)

// AppendJSON appends a record as the API shows it, its body masked.
func AppendJSON(b []byte, r *eventlog.Record) []byte {
	b = append(b, `{"sequence":`...)
	b = strconv.AppendUint(b, uint64(r.Seq), 10)
	b = appendText(append(b, `,"eventId":`...), r.EventID)
	b = appendText(append(b, `,"source":`...), r.Source)
	b = appendText(append(b, `,"type":`...), r.Type)
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

// appendText appends a JSON string. What is no UTF-8 becomes U+FFFD, so that it
// can't fail.
func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD"))
	return b
}
