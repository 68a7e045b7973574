package natsd

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/eventlogtest"
)

// TestAttackRequestsAreBounded: what a client without credentials may ask for at
// once, and that what honest clients ask for is answered.
func TestAttackRequestsAreBounded(t *testing.T) {
	url, own := testServer(t)
	nc, js := dial(t, url)
	if err := own.Publish("meetings.1.meeting.started", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ subject, request, want string }{
		{"$JS.API.STREAM.INFO.MEETINGS", `{"subjects_filter":">"}`, "no list of a stream's subjects"},
		{"$JS.API.DIRECT.GET.MEETINGS", `{"seq":1,"batch":1000000,"max_bytes":2000000000}`, "one message a request"},
		{"$JS.API.DIRECT.GET.KV_sessions_g1", `{"multi_last":["$KV.>"]}`, "one message a request"},
		{"$JS.API.DIRECT.GET.MEETINGS", `{"seq":1,"Batch":1000000}`, "no member"},
		{"$JS.API.STREAM.INFO.MEETINGS", `{"x":"` + strings.Repeat("x", readerRequest) + `"}`, "at most"},
		{"$JS.API.CONSUMER.CREATE.MEETINGS", `{"stream_name":"MEETINGS","config":{"ack_policy":"none","deliver_subject":"_INBOX.x","rate_limit_bps":99999999999}}`, `"rate_limit_bps":`},
	} {
		m, err := nc.Request(c.subject, []byte(c.request), eventlogtest.Patience)
		if err != nil || !strings.Contains(string(m.Data)+m.Header.Get("Description"), c.want) {
			t.Errorf("%s %.60s = %+v, %v; want %s", c.subject, c.request, m, err, c.want)
		}
		if err == nil && strings.Contains(string(m.Data), "99999999999") {
			t.Errorf("consumer = %s; want a lower rate", m.Data)
		}
	}
	stream, err := js.Stream(t.Context(), "MEETINGS")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := stream.GetMsg(t.Context(), 1); err != nil || string(m.Data) != "meetings.1.meeting.started" {
		t.Errorf("GetMsg(1) = %v, %v; want the record", m, err)
	}
	if m, err := stream.GetLastMsgForSubject(t.Context(), "meetings.1.meeting.started"); err != nil || string(m.Data) != "x" {
		t.Errorf("GetLastMsgForSubject = %v, %v; want the last record", m, err)
	}
	acks, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	m, err := acks.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Errorf("acknowledge = %v; want nil", err)
	}
}
