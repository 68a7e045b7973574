package query

import (
	"testing"

	"rollcall/projections"
)

// TestLinksOfADamagedList: a list whose elements can't be read is an error, and is not
// passed on with what it may hold.
func TestLinksOfADamagedList(t *testing.T) {
	t.Parallel()
	link := projections.Field{Name: "url", Link: true}
	list := []projections.Field{{Name: "files", Kind: projections.KindList, Members: []projections.Field{link}}}
	for doc, want := range map[string]string{
		`{"files":[{"url":"u"},{"a":1,"url":"u"}]}`: `{"files":[{"url":null},{"a":1,"url":null}]}`,
		`{"files":null}`:            `{"files":null}`,
		`{"files":[]}`:              `{"files":[]}`,
		`{"files":[{"url":"u"},7]}`: "",
		`{"files":{"url":"u"}}`:     "",
	} {
		if got, err := withoutLinks([]byte(doc), list); string(got) != want || (err != nil) != (want == "") {
			t.Errorf("withoutLinks(%s) = %s, %v; want %q", doc, got, err, want)
		}
	}
}
