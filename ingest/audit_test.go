package ingest_test

import (
	"errors"
	"testing"
	"time"

	"rollcall/ingest"
)

func TestAuditor(t *testing.T) {
	key, other := testKeys()[0], testKeys()[1]
	log := &memory{}
	at := time.Unix(1614265330, 0)
	h := newHandler(t, ingest.Config{Log: log, Now: func() time.Time { return at }, Sources: []ingest.Source{
		{Name: "prod", Scheme: "rsa", Key: keyFile(t, publicPEM(t, key))},
		{Name: "std", Scheme: "standard", Key: keyFile(t, []byte(referenceSecret))},
		{Name: "open", Scheme: "none"},
	}})
	expectStored(t, post(h, "/webhooks/prod", started, "dyte-signature", sign(t, key, started)))
	signed := log.last(t)
	expectStored(t, post(h, "/webhooks/std", referenceBody, "webhook-id", referenceID, "webhook-timestamp", referenceTimestamp, "webhook-signature", referenceSignature))
	standard := log.last(t)
	expectStored(t, post(h, "/webhooks/open", started, "dyte-signature", "x"))
	open := log.last(t)

	all, err := ingest.NewAuditor(keyDocument(t, key), []byte(referenceSecret))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := ingest.NewAuditor(publicPEM(t, other))
	if err != nil {
		t.Fatal(err)
	}
	for i, test := range []struct {
		got, want error
	}{
		{all.Check(&signed), nil},
		{all.Check(&standard), nil},
		{all.Check(&open), ingest.ErrUnsigned},
		{foreign.Check(&signed), ingest.ErrOtherKey},
		{foreign.Check(&standard), ingest.ErrOtherKey},
	} {
		if !errors.Is(test.got, test.want) {
			t.Errorf("Check %d = %v; want %v", i, test.got, test.want)
		}
	}
	signed.Body = append(signed.Body, ' ')
	if err := all.Check(&signed); !errors.Is(err, ingest.ErrForged) {
		t.Errorf("Check of a changed body = %v; want ErrForged", err)
	}
	standard.DeliveryID = "another"
	if err := all.Check(&standard); !errors.Is(err, ingest.ErrForged) {
		t.Errorf("Check of a changed delivery id = %v; want ErrForged", err)
	}
	if _, err := ingest.NewAuditor([]byte("nonsense!")); err == nil {
		t.Error("NewAuditor(nonsense) = nil; want an error")
	}
}
