package ingest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"rollcall/eventlog"
	"rollcall/ingest/web"
)

// writeStored answers a delivery that is in the log.
func writeStored(w http.ResponseWriter, a eventlog.Appended) {
	seq := strconv.FormatUint(uint64(a.Seq), 10)
	// A ULID and a number need no escaping.
	b := make([]byte, 0, 96)
	b = append(b, `{"eventId":"`...)
	b = append(b, a.EventID...)
	b = append(b, `","sequence":`...)
	b = append(b, seq...)
	b = append(b, `,"duplicate":`...)
	b = strconv.AppendBool(b, a.Duplicate)
	b = append(b, '}', '\n')
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set(headerSequence, seq)
	header.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(b) // a client that left retries, and gets a duplicate
}

// refuse answers with a problem document (RFC 9457).
func (h *Handler) refuse(w http.ResponseWriter, m sourceMetrics, r *refusal) {
	m.refused(r)
	h.refused.Warn().Str(logSource, m.name).Int(logStatus, r.status).Str(logReason, r.reason).Msg("delivery refused")
	writeProblem(w, r)
}

// problem is the document of a refusal. The line's end is for people with curl.
func problem(p web.Problem, reason string) []byte {
	p.Type = "urn:rollcall:problem:" + reason
	return append(p.AppendJSON(make([]byte, 0, 256)), '\n')
}

// describe sets the headers of a refusal, and returns its document.
func (r *refusal) describe(header http.Header) []byte {
	p := web.Problem{Status: r.status, Detail: r.detail, RetryAfter: r.retryAfter}
	b := problem(p, r.reason)
	header.Set("Content-Type", web.ProblemType)
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", strconv.Itoa(len(b)))
	switch r.status {
	case http.StatusMethodNotAllowed:
		header.Set("Allow", http.MethodPost)
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", strconv.Itoa(max(1, p.RetrySeconds())))
	}
	return b
}

func writeProblem(w http.ResponseWriter, r *refusal) {
	b := r.describe(w.Header())
	w.WriteHeader(r.status)
	_, _ = w.Write(b)
}

// writeRaw answers a connection on which net/http has no request for a handler. The
// caller closes it.
func writeRaw(w io.Writer, r *refusal) error {
	header := http.Header{"Connection": {"close"}}
	body := r.describe(header)
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", r.status, http.StatusText(r.status))
	_ = header.Write(&b) // to memory
	fmt.Fprintf(&b, "\r\n%s", body)
	_, err := w.Write(b.Bytes())
	return err
}
