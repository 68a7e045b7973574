package eventlogtest

import (
	"errors"
	"net/http"
	"time"
)

// Patience bounds a wait for what comes at once on a healthy machine. It is arbitrary, and far longer
// than a busy machine stands still: nothing about time is asserted by it, and what meets it hangs. A
// limit of a test that is not part of what the test is about is this one.
const Patience = 2 * time.Minute

const (
	// beat is how often a machine is looked at, standstill how late that comes where it stood still:
	// sooner than the shortest limit that the program has for a request.
	beat       = 50 * time.Millisecond
	standstill = time.Second
	// tries is how often Steadily calls.
	tries = 5
)

// Steadily calls f, and again where it failed while the machine, or the test's process, stood still for
// more than a second: then the program's own limits, some of them 1.5 seconds, end what nothing is wrong
// with. f is something that may be done twice, as a client does that got no answer. What fails on a
// machine that does not stand still fails at once.
func Steadily(f func() error) (err error) {
	for range tries {
		stood := watch()
		err = f()
		if !stood() || err == nil {
			break
		}
	}
	return err
}

// Made is what f makes, steadily.
func Made[T any](f func() (T, error)) (made T, err error) {
	err = Steadily(func() error { made, err = f(); return err })
	return made, err
}

// watch begins to look whether the machine stands still. stood ends that, and reports whether it did.
func watch() (stood func() bool) {
	end, result := make(chan struct{}), make(chan bool)
	last := time.Now()
	go func() {
		ticker := time.NewTicker(beat)
		defer ticker.Stop()
		for late, ended := false, false; ; {
			select {
			case <-ticker.C:
			case <-end:
				ended = true
			}
			now := time.Now()
			late = late || now.Sub(last) > standstill
			if last = now; ended {
				result <- late
				return
			}
		}
	}()
	return func() bool { close(end); return <-result }
}

// errLate is an answer that says that something was not there in time.
var errLate = errors.New("answered 503 or 504")

// Transport sends requests over http.DefaultTransport, steadily: one that got no answer, or one that
// something was not there in time, is sent again where the machine stood still meanwhile. A delivery
// needs a uuid, or may be stored twice.
type Transport struct{}

// RoundTrip implements http.RoundTripper.
func (Transport) RoundTrip(r *http.Request) (res *http.Response, err error) {
	first := true
	_ = Steadily(func() error { // what it returns is in res and err
		if !first {
			again, ok := repeated(r)
			if !ok {
				return nil
			}
			if r = again; res != nil {
				res.Body.Close()
			}
		}
		first = false
		if res, err = http.DefaultTransport.RoundTrip(r); err != nil { //nolint:bodyclose // it is the caller's, or closed before the next try
			return err
		}
		if res.StatusCode == http.StatusServiceUnavailable || res.StatusCode == http.StatusGatewayTimeout {
			return errLate
		}
		return nil
	})
	return res, err
}

// repeated is a request as it was before it was sent, if it can be sent again.
func repeated(r *http.Request) (*http.Request, bool) {
	again := r.Clone(r.Context())
	if r.Body == nil || r.Body == http.NoBody {
		return again, r.Context().Err() == nil
	}
	if r.GetBody == nil || r.Context().Err() != nil {
		return nil, false
	}
	body, err := r.GetBody()
	again.Body = body
	return again, err == nil
}
