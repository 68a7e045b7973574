package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/wire"
)

// client asks again where the machine stood still.
var client = http.Client{Transport: eventlogtest.Transport{}}

// webhook posts a body to the source test, as a delivery of its own, and returns the answer's status.
func webhook(t testing.TB, ingest, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+ingest+"/webhooks/test", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("rtk-uuid", rand.Text())
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// command runs a command to its end, and again where it failed while the machine stood
// still, as whoever runs it does.
func command(once func() (code int)) {
	_ = eventlogtest.Steadily(func() error { // once has what came of it
		if code := once(); code != console.ExitDone {
			return fmt.Errorf("exit code %d", code)
		}
		return nil
	})
}

// shown waits until every view of a read API holds the log to its end: that the views
// are there says nothing of the API's copy of them.
func shown(ctx context.Context, api string) error {
	ctx, cancel := context.WithTimeout(ctx, eventlogtest.Patience)
	defer cancel()
	for {
		missing, err := notShown(ctx, api)
		if err == nil && missing == "" {
			return nil
		}
		if wire.Pause(ctx, 10*time.Millisecond) != nil {
			return fmt.Errorf("the read API lacks records of %q, %w", missing, err)
		}
	}
}

// notShown is a view that does not hold the last record.
func notShown(ctx context.Context, api string) (view string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+api+"/v1/projections", http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("answered %d", res.StatusCode)
	}
	var list struct {
		Items []struct {
			Name, State string
			Sequence    eventlog.Seq
			Head        eventlog.Seq `json:"headSequence"`
		}
	}
	if err := json.UnmarshalRead(res.Body, &list, json.MatchCaseInsensitiveNames(true)); err != nil {
		return "", err
	}
	for _, v := range list.Items {
		if v.State != "live" || v.Sequence < v.Head {
			return v.Name, nil
		}
	}
	return "", nil
}

// cmdShown waits for a read API: shown ADDRESS.
func cmdShown(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(shown(context.Background(), args[0]))
}

// cmdOwn runs a command of the program in a process of its own: own ARG…
func cmdOwn(ts *testscript.TestScript, neg bool, args []string) {
	if code, _ := execIn(ts, append([]string{"rollcall"}, args...)); (code != console.ExitDone) != neg {
		ts.Fatalf("rollcall %s ends with %d", strings.Join(args, " "), code)
	}
}

// cmdUntil runs a command, as run does, until what it prints matches a pattern: until PATTERN ARG…
func cmdUntil(ts *testscript.TestScript, _ bool, args []string) {
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	_, out, errs := runOf(ts, args[1:])
	for end := time.Now().Add(eventlogtest.Patience); !pattern.MatchString(out); _, out, errs = runOf(ts, args[1:]) {
		if time.Now().After(end) {
			ts.Fatalf("run %s prints\n%s%s\nwant %s", strings.Join(args[1:], " "), out, errs, pattern)
		}
	}
	_, err = io.WriteString(ts.Stdout(), out)
	ts.Check(err)
}
