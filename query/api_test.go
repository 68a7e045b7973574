package query_test

import (
	"net/http"
	"testing"
)

func TestSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(started("s1", "m1", "Weekly planning", 0))
	w.post(joined("s1", "m1", "p1", "ann", 0))
	w.post(joined("s1", "m1", "p2", "bob", 60))
	w.post(left("s1", "m1", "p2", "bob", 60, 300))
	w.post(ended("s1", "m1", 0, 600))
	w.post(started("s2", "m2", "Lecture", 100))
	w.post(joined("s2", "m2", "p3", "ann", 110))
	w.post(started("s3", "m2", "Lecture", 200))
	w.post(recording("r1", "s1", "UPLOADING"))

	for _, c := range []struct{ path, want string }{
		{"/v1/sessions", "s3,s2,s1"},
		{"/v1/sessions?sort=startedAt", "s1,s2,s3"},
		{"/v1/sessions?sort=title", "s2,s3,s1"},
		{"/v1/sessions?sort=-title", "s1,s2,s3"},
		{"/v1/sessions?sort=-durationSeconds", "s1,s2,s3"},
		{"/v1/sessions?sort=durationSeconds", "s2,s3,s1"},
		{"/v1/sessions?sort=-supersededBy", "s2,s1,s3"},
		{"/v1/sessions?sort=-stale", "s2,s1,s3"},
		{"/v1/sessions?status=ENDED", "s1"},
		{"/v1/sessions?status=LIVE", "s3,s2"},
		{"/v1/sessions?meetingId=m2", "s3,s2"},
		{"/v1/sessions?organizerId=org-m1", "s1"},
		{"/v1/sessions?participantId=ann", "s2,s1"},
		{"/v1/sessions?participantId=nobody", ""},
		{"/v1/sessions?from=" + stamp(100), "s3,s2"},
		{"/v1/sessions?to=" + stamp(100), "s1"},
		{"/v1/sessions?q=LECT", "s3,s2"},
		{"/v1/sessions?q=ly%20pl", "s1"},
		{"/v1/sessions?q=S1", "s1"},
		{"/v1/sessions?q=", "s3,s2,s1"},
		{"/v1/sessions?q=%22x%22%20OR", ""},
		{"/v1/sessions?stale=true", "s2"},
		{"/v1/sessions?stale=false", "s3,s1"},
		{"/v1/meetings/live", "s3"},
		{"/v1/meetings/live?stale=true", "s3,s2"},
		{"/v1/participants/ann/sessions", "s2,s1"},
		{"/v1/participants/ann/sessions?sort=attendanceRatio", "s2,s1"},
	} {
		if got := w.items(c.path).column("sessionId"); got != c.want {
			t.Errorf("GET %s = %s; want %s", c.path, got, c.want)
		}
	}
	l := w.items("/v1/sessions/s1/participants")
	if got, want := l.column("participantId"), "ann,bob"; got != want {
		t.Errorf("participants of s1 = %s; want %s", got, want)
	}
	if got, want := l.column("attendanceRatio"), "1,0.4"; got != want {
		t.Errorf("attendanceRatio of s1 = %s; want %s", got, want)
	}
	if got := w.items("/v1/sessions/s3/participants"); len(got.Items) != 0 {
		t.Errorf("participants of s3 = %v; want none", got.Items)
	}
	for path, want := range map[string]int{
		"/v1/sessions/nope": http.StatusNotFound, "/v1/sessions/nope/participants": http.StatusNotFound,
		"/v1/participants/nope/sessions": http.StatusNotFound, "/v1/recordings/nope": http.StatusNotFound,
		"/v1/livestreams/nope": http.StatusNotFound, "/v1/sessions/nope/events": http.StatusNotFound, "/v1/nope": http.StatusNotFound,
		"/v1/sessions?nope=1": http.StatusBadRequest, "/v1/sessions?limit=0": http.StatusBadRequest, "/v1/sessions?limit=1001": http.StatusBadRequest,
		"/v1/sessions?sort=organizer": http.StatusBadRequest, "/v1/sessions?status=live": http.StatusBadRequest,
		"/v1/sessions?cursor=abc": http.StatusBadRequest, "/v1/sessions?from=yesterday": http.StatusBadRequest,
		"/v1/sessions?status=LIVE&status=ENDED": http.StatusBadRequest, "/v1/usage?timezone=Mars/Olympus": http.StatusBadRequest,
		"/v1/sessions?minSequence=1000000&wait=10ms": http.StatusGatewayTimeout, "/v1/events?minSequence=1000000&wait=10ms": http.StatusGatewayTimeout,
	} {
		a := w.do(path)
		if a.status != want {
			t.Errorf("GET %s = %d %s; want %d", path, a.status, a.body, want)
		}
		if got := a.header.Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("GET %s: Content-Type = %s; want application/problem+json", path, got)
		}
	}
}
