package query

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
)

// encode gives an answer the form that goes out.
func (ans *answer) encode(c *call) (*reply, error) {
	rep := &reply{status: http.StatusOK, contentType: "application/json", sequence: ans.sequence}
	if ans.page == nil {
		rep.body = ans.doc
		rep.etag = `"` + digest(rep.body) + `"`
		return rep, nil
	}
	rep.next = ans.page.next
	docs := ans.page.docs()
	if c.csv {
		var err error
		rep.contentType = "text/csv; charset=utf-8; header=present"
		rep.file = c.fileName()
		if rep.body, err = c.appendDocs(c.appendHeader(nil), docs); err != nil {
			return nil, err
		}
		if c.all && rep.next != "" {
			rep.rest = c
			return rep, nil
		}
		rep.etag = `W/"` + digest(rep.body) + `"`
		return rep, nil
	}
	b := append([]byte(nil), `{"items":[`...)
	for i, doc := range docs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, doc...)
	}
	b = append(b, `],"nextCursor":`...)
	b = append(b, quoteOrNull(ans.page.next)...)
	// The tag leaves asOf out: it moves on while the items stay the same.
	rep.etag = `W/"` + digest(b) + `"`
	b = append(b, `,"asOf":{"sequence":`...)
	b = strconv.AppendUint(b, uint64(ans.sequence), 10)
	rep.body = append(b, "}}"...)
	return rep, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}
