package query

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"rollcall/query/replica"
)

const (
	// serviceName is how `nats micro ls` lists the service.
	serviceName    = "rollcall"
	serviceVersion = "1.0.0"
	// serviceWaits bounds the requests that wait for minSequence at once.
	serviceWaits = 256
	// replyMargin is left of the server's max_payload for headers.
	replyMargin = 4 << 10
)

// endpoints are the questions that are answered over NATS, and the routes that
// answer them.
func endpoints() [][3]string {
	return [][3]string{
		{"session-get", "rollcall.query.session.get", "/v1/sessions/{sessionId}"},
		{"session-list", "rollcall.query.session.list", "/v1/sessions"},
		{"participant-list", "rollcall.query.participant.list", "/v1/sessions/{sessionId}/participants"},
		{"recording-get", "rollcall.query.recording.get", "/v1/recordings/{recordingId}"},
	}
}

// RunService answers questions over NATS until ctx ends: the service "rollcall",
// whose instances share the requests. A request is a JSON object with the
// parameters of the API's path, the answer what the API answers; errors are in
// the headers Nats-Service-Error-Code and Nats-Service-Error, with the problem
// detail as body.
func (a *API) RunService(ctx context.Context, nc *nats.Conn) error {
	// Requests that wait end with the service.
	ctx, cancel := context.WithCancel(ctx)
	s := &service{api: a, nc: nc, slots: make(chan struct{}, serviceWaits)}
	defer s.waiting.Wait()
	defer cancel()
	svc, err := micro.AddService(nc, micro.Config{Name: serviceName, Version: serviceVersion,
		Description: "Meetings, sessions, participants and recordings"})
	if err != nil {
		return fmt.Errorf("add service %s: %w", serviceName, err)
	}
	for _, e := range endpoints() {
		r := a.byPath[e[2]]
		err := svc.AddEndpoint(e[0], micro.HandlerFunc(func(req micro.Request) { s.handle(ctx, r, req) }), micro.WithEndpointSubject(e[1]))
		if err != nil {
			return fmt.Errorf("add endpoint %s: %w", e[1], err)
		}
	}
	<-ctx.Done()
	if err := svc.Stop(); err != nil && !nc.IsClosed() {
		return fmt.Errorf("stop service %s: %w", serviceName, err)
	}
	return nil
}

// service is the API over NATS.
type service struct {
	api     *API
	nc      *nats.Conn
	slots   chan struct{}
	waiting sync.WaitGroup
}

// handle answers a request at once or, where it has to wait for a record, on
// the side: an endpoint takes one request after the other.
func (s *service) handle(ctx context.Context, r *route, req micro.Request) {
	path, query, err := requestValues(r, req.Data())
	if err != nil {
		s.respond(req, s.api.refuse(r, err))
		return
	}
	if !s.mustWait(r, query) {
		s.respond(req, s.api.collect(ctx, r, s.api.do(ctx, r, path, query, false)))
		return
	}
	select {
	case s.slots <- struct{}{}:
	default:
		s.respond(req, s.api.refuse(r, newProblem(503, "too many requests wait for a record; try again")))
		return
	}
	s.waiting.Go(func() {
		defer func() { <-s.slots }()
		s.publish(req.Reply(), s.api.collect(ctx, r, s.api.do(ctx, r, path, query, false)))
	})
}

// mustWait reports whether the views don't hold the record asked for yet.
func (s *service) mustWait(r *route, query url.Values) bool {
	v, err := parse(r.params, nil, url.Values{"minSequence": query["minSequence"]})
	if err != nil || query["minSequence"] == nil {
		return false
	}
	return !s.api.replica.Holds(replica.Need{Views: r.views, Sequence: v.minSequence()})
}

// respond answers within the endpoint's statistics.
func (s *service) respond(req micro.Request, rep *reply) {
	rep = s.fit(rep)
	var err error
	if rep.status >= 400 {
		err = req.Error(strconv.Itoa(rep.status), errorText(rep), rep.body)
	} else {
		err = req.Respond(rep.body, micro.WithHeaders(micro.Headers{"Rollcall-Sequence": {strconv.FormatUint(uint64(rep.sequence), 10)}}))
	}
	if err != nil {
		s.api.config.Logger.Debug().Err(err).Msg("answer over NATS not sent")
	}
}

// publish answers outside of the endpoint's statistics.
func (s *service) publish(subject string, rep *reply) {
	rep = s.fit(rep)
	m := nats.NewMsg(subject)
	m.Data = rep.body
	if rep.status >= 400 {
		m.Header.Set(micro.ErrorCodeHeader, strconv.Itoa(rep.status))
		m.Header.Set(micro.ErrorHeader, errorText(rep))
	} else {
		m.Header.Set("Rollcall-Sequence", strconv.FormatUint(uint64(rep.sequence), 10))
	}
	if err := s.nc.PublishMsg(m); err != nil {
		s.api.config.Logger.Debug().Err(err).Msg("answer over NATS not sent")
	}
}

// fit replaces an answer that no NATS message can hold.
func (s *service) fit(rep *reply) *reply {
	if most := s.nc.MaxPayload() - replyMargin; most > 0 && int64(len(rep.body)) > most {
		p := newProblem(413, "the answer has %d bytes, more than a message may hold: ask for a smaller limit", len(rep.body))
		return &reply{status: p.Status, body: p.AppendJSON(nil)}
	}
	return rep
}

// errorText is a problem's detail on one line, for a header.
func errorText(rep *reply) string {
	detail := ""
	err := members(rep.body, func(name string, value jsontext.Value) {
		if name == "detail" {
			detail = text(value)
		}
	})
	if err != nil || detail == "" {
		detail = "error " + strconv.Itoa(rep.status)
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, detail)
}

// requestValues reads a request's JSON object as the parameters of a route.
func requestValues(r *route, data []byte) (path map[string]string, query url.Values, err error) {
	path, query = map[string]string{}, url.Values{}
	if len(bytes.TrimSpace(data)) > 0 {
		var bad string
		err = members(data, func(name string, value jsontext.Value) {
			s, ok := asParam(value)
			switch {
			case !ok:
				bad = name
			case value.Kind() == 'n':
			default:
				query.Add(name, s)
			}
		})
		if err != nil {
			return nil, nil, badRequest("the request is no JSON object with the parameters of %s", r.path)
		}
		if bad != "" {
			return nil, nil, badRequest("parameter %s is neither text, number nor boolean", bad)
		}
	}
	for _, p := range r.params {
		if !p.inPath {
			continue
		}
		given := query[p.name]
		if len(given) != 1 {
			return nil, nil, badRequest("parameter %s is needed", p.name)
		}
		path[p.name] = given[0]
		query.Del(p.name)
	}
	return path, query, nil
}

// asParam is a JSON value in the form that a query parameter has.
func asParam(value jsontext.Value) (string, bool) {
	switch value.Kind() {
	case '"':
		return text(value), true
	case '0', 't', 'f', 'n':
		return string(value), true
	}
	return "", false
}
