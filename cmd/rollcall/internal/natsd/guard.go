package natsd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"rollcall/cmd/rollcall/internal/console"
)

// Guard makes and removes consumers for readers, who must not do it themselves:
// a push consumer delivers to any subject with the server's own rights, also to
// the log's and the views'. The guard lets a consumer deliver to the reader's
// inbox alone, which it moves over the account border, and refuses durable ones
// and removals of consumers that it did not make for the same account. It reports
// no others either, so that no reader learns a name to pull another's messages
// with. What readers hold is bounded (guardrules.go): a stream takes a number of
// consumers, and the rest is for Rollcall's own.
type Guard struct {
	nc *nats.Conn
	// inside is a connection in the readers' account, where pulls come.
	inside *nats.Conn
	log    zerolog.Logger
	subs   []*nats.Subscription
	// making is held while consumers are counted and one is made for a reader.
	making sync.Mutex
	pace   *rate.Limiter
	warned time.Time // guarded by warning
	// warning is held while it is decided whether to log.
	warning sync.Mutex
	// tokens limits what readers may request per second (guardapi.go).
	tokens *rate.Limiter
	// windows are what readers' pulls have under way (guardpull.go).
	windows *windows
	ctx     context.Context // ends with Stop
	stop    func()
}

const (
	inbox = "_INBOX."
	// readerMark is metadata of the consumers that the guard made: for which
	// account.
	readerMark = "rollcall.reader"
	// guardRequests bounds what is asked at a time, by each account; one more gets
	// no answer.
	guardRequests = 1024
)

// StartGuard answers requests of the accounts that read over nc, a connection to e,
// and keeps readers within their bounds, until it is stopped.
func StartGuard(e *Server, nc *nats.Conn, log zerolog.Logger) (*Guard, error) {
	g := &Guard{nc: nc, log: log, pace: rate.NewLimiter(readerRate, readerRate), tokens: rate.NewLimiter(readerTokens, readerTokens), windows: newWindows()}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	g.ctx, g.stop = ctx, func() { cancel(); running.Wait() }
	if err := g.subscribe(e); err != nil {
		g.Stop()
		return nil, err
	}
	running.Go(g.refill)
	return g, nil
}

// guarded are the requests that the guard answers, as its subjects name them.
var guarded = []string{verbAPI, "CREATE", "DELETE", "NAMES", "LIST", "INFO"}

func (g *Guard) subscribe(e *Server) error {
	for _, account := range []string{accountReaders, accountQuery} {
		slots := make(chan struct{}, guardRequests)
		for _, verb := range guarded {
			if err := g.take(guardSubject(account)+verb+".>", func(m *nats.Msg) { g.receive(visitor{g, account}, slots, m) }); err != nil {
				return err
			}
		}
	}
	if err := g.take(guardSubject(accountReaders)+verbAck+".>", g.acknowledge); err != nil { // one after the other
		return err
	}
	if err := g.takePulls(e); err != nil {
		return err
	}
	return errors.Join(g.nc.Flush(), g.inside.Flush())
}

func (g *Guard) take(subject string, answer nats.MsgHandler) error {
	sub, err := g.nc.Subscribe(subject, answer)
	if err != nil {
		return fmt.Errorf("subscribe consumer guard: %w", err)
	}
	g.subs = append(g.subs, sub)
	return nil
}

// receive answers a request where there is a slot for it.
func (g *Guard) receive(v visitor, slots chan struct{}, m *nats.Msg) {
	select {
	case slots <- struct{}{}:
		go func() {
			defer func() { <-slots }()
			g.answer(v, m)
		}()
	default:
		g.warn("NATS clients without credentials ask for more than they are given: some requests get no answer")
	}
}

// Stop ends the subscriptions.
func (g *Guard) Stop() {
	g.stop()
	for _, sub := range g.subs {
		_ = sub.Unsubscribe()
	}
	if g.inside != nil {
		g.inside.Close()
	}
}

// visitor is the guard as it faces one account.
type visitor struct {
	*Guard
	account string
}

// apiAnswer is a JetStream API answer that holds nothing but an error.
type apiAnswer struct {
	Type  string   `json:"type"`
	Error apiError `json:"error"`
}

// apiError is an error as the JetStream API has it.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

// answer answers a request, with an error in the form that JetStream's clients
// expect of it.
func (g *Guard) answer(v visitor, m *nats.Msg) {
	verb, rest, _ := strings.Cut(strings.TrimPrefix(m.Subject, guardSubject(v.account)), ".")
	if verb == verbAPI {
		v.ask(rest, m)
		return
	}
	kind := "io.nats.jetstream.api.v1.consumer_" + strings.ToLower(verb) + "_response"
	var answer []byte
	err := v.pay(stateCost)
	switch {
	case err != nil:
	case verb == "CREATE":
		answer, err = v.create(rest, m.Data)
	case verb == "DELETE":
		answer, err = v.remove(rest)
	case verb == "NAMES", verb == "LIST":
		answer, err = v.list(verb, rest, kind, m.Data)
	case verb == "INFO":
		answer, err = v.info(rest)
	default:
		err = errors.New("unknown request")
	}
	if err != nil {
		answer, _ = json.Marshal(apiAnswer{kind, refusalOf(err)})
	}
	_ = m.Respond(answer)
}

// create passes a request for a consumer on, with its deliver subject moved.
func (g visitor) create(rest string, request []byte) ([]byte, error) {
	body, config, err := readRequest(request)
	if err != nil {
		return nil, err
	}
	if err := g.mayReplace(rest, console.JSONText(config["name"])); err != nil {
		return nil, err
	}
	if deliver := console.JSONText(config["deliver_subject"]); deliver != "" {
		tail, ok := strings.CutPrefix(deliver, inbox)
		if !ok {
			return nil, errors.New("a reader's consumer delivers to its inbox only")
		}
		config["deliver_subject"] = quote(deliverSubject(g.account) + tail)
	}
	metadata := map[string]string{}
	_ = json.Unmarshal(config["metadata"], &metadata) // none is as good as unreadable: the server judges the rest
	metadata[readerMark] = g.account
	config["metadata"] = marshal(metadata)
	limit(config)
	stream, _, _ := strings.Cut(rest, ".")
	var w window
	if g.account == accountReaders {
		g.making.Lock()
		defer g.making.Unlock()
		state, err := g.room(stream)
		if err != nil {
			return nil, err
		}
		limitPush(config, state.Consumers)
		w = limitPull(config, state)
	}
	body["config"] = marshal(config)
	answer, err := g.nc.Request(apiConsumer+"CREATE."+rest, marshal(body), 5*time.Second)
	if err != nil {
		return nil, fmt.Errorf("ask JetStream: %w", err)
	}
	var made consumerInfo
	if json.Unmarshal(answer.Data, &made) == nil && made.Name != "" && g.account == accountReaders {
		g.windows.add(stream, made.Name, w)
	}
	return restoreConfig(g.account, answer.Data), nil
}

// mayReplace refuses a request that would change a consumer of somebody else: to
// make one under a name that is taken is to update it. The name is in the
// request's subject, <stream>.<name>[.<filter>], or in its config.
func (g visitor) mayReplace(rest, name string) error {
	stream, more, _ := strings.Cut(rest, ".")
	token, _, _ := strings.Cut(more, ".")
	for _, n := range []string{token, name} {
		if n == "" || strings.ContainsAny(n, ". *>\t\r\n") {
			continue // the server refuses a name that no token can hold
		}
		info, err := g.nc.Request(apiConsumer+"INFO."+stream+"."+n, nil, 5*time.Second)
		if err != nil {
			return fmt.Errorf("ask JetStream: %w", err)
		}
		if g.others(info.Data) {
			return errors.New("a reader changes its own consumers only")
		}
	}
	return nil
}

// restoreConfig writes what the reader asked for into what the server says of a
// consumer, where the guard asked for another thing: its deliver subject, and no
// acknowledgements.
func restoreConfig(account string, consumer []byte) jsontext.Value {
	var body, config map[string]jsontext.Value
	if json.Unmarshal(consumer, &body) != nil || json.Unmarshal(body["config"], &config) != nil {
		return consumer // an error answer has no config
	}
	if tail, ok := strings.CutPrefix(console.JSONText(config["deliver_subject"]), deliverSubject(account)); ok {
		config["deliver_subject"] = quote(inbox + tail)
	}
	if guardAcknowledges(config) {
		config["ack_policy"] = quote("none")
		for _, name := range []string{"max_ack_pending", "ack_wait"} {
			delete(config, name)
		}
	}
	body["config"] = marshal(config)
	return marshal(body)
}

// consumerInfo is what the guard looks at in what the server says of a consumer.
type consumerInfo struct {
	Name   string `json:"name"`
	Config struct {
		Metadata map[string]string `json:"metadata"`
	} `json:"config"`
	// Error is the server's answer that there is no such consumer.
	Error *apiError `json:"error"`
}

// others reports whether a consumer was made for somebody else than this account,
// or can't be known.
func (g visitor) others(consumer []byte) bool {
	var c consumerInfo
	return json.Unmarshal(consumer, &c) != nil || c.Error == nil && c.Config.Metadata[readerMark] != g.account
}

// info describes a consumer that the guard made.
func (g visitor) info(rest string) ([]byte, error) {
	answer, err := g.nc.Request(apiConsumer+"INFO."+rest, nil, 5*time.Second)
	if err != nil {
		return nil, fmt.Errorf("ask JetStream: %w", err)
	}
	if g.others(answer.Data) {
		return nil, errors.New("a reader sees the consumers of readers only")
	}
	return restoreConfig(g.account, answer.Data), nil
}

// remove deletes a consumer that the guard made.
func (g visitor) remove(rest string) ([]byte, error) {
	info, err := g.nc.Request(apiConsumer+"INFO."+rest, nil, 5*time.Second)
	if err != nil {
		return nil, fmt.Errorf("ask JetStream: %w", err)
	}
	if g.others(info.Data) {
		return nil, errors.New("a reader removes its own consumers only")
	}
	answer, err := g.nc.Request(apiConsumer+"DELETE."+rest, nil, 5*time.Second)
	if err != nil {
		return nil, fmt.Errorf("ask JetStream: %w", err)
	}
	g.windows.forget(rest)
	return answer.Data, nil
}

// consumerPage is a page of the server's lists of consumers.
type consumerPage struct {
	Type      string           `json:"type"`
	Total     int              `json:"total"`
	Offset    int              `json:"offset"`
	Limit     int              `json:"limit"`
	Consumers []jsontext.Value `json:"consumers"`
	Error     *apiError        `json:"error,omitempty"`
}

// consumerPageSize is how many consumers JetStream lists at a time.
const consumerPageSize = 256

// list gives the consumers that the guard made for the account, names alone or all of it.
func (g visitor) list(verb, stream, kind string, request []byte) ([]byte, error) {
	var asked struct {
		Offset int `json:"offset"`
	}
	_ = json.Unmarshal(request, &asked) // no request is the first page
	out := consumerPage{Type: kind, Offset: max(0, asked.Offset), Limit: consumerPageSize, Consumers: []jsontext.Value{}}
	all, refusal, err := g.consumers(stream)
	if err != nil || refusal != nil {
		return refusal, err
	}
	for _, c := range all {
		if g.others(c) {
			continue
		}
		if out.Total++; out.Total <= out.Offset || len(out.Consumers) == out.Limit {
			continue
		}
		if verb == "LIST" {
			out.Consumers = append(out.Consumers, restoreConfig(g.account, c))
			continue
		}
		var named consumerInfo
		if err := json.Unmarshal(c, &named); err != nil {
			return nil, fmt.Errorf("read JetStream's answer: %w", err)
		}
		out.Consumers = append(out.Consumers, quote(named.Name))
	}
	return json.Marshal(out)
}

// consumers are all that a stream has, as the server describes them, or its refusal.
func (g *Guard) consumers(stream string) (all []jsontext.Value, refusal []byte, err error) {
	for {
		answer, err := g.nc.Request(apiConsumer+"LIST."+stream, marshal(map[string]int{"offset": len(all)}), 5*time.Second)
		if err != nil {
			return nil, nil, fmt.Errorf("ask JetStream: %w", err)
		}
		var page consumerPage
		if err := json.Unmarshal(answer.Data, &page); err != nil {
			return nil, nil, fmt.Errorf("read JetStream's answer: %w", err)
		}
		if page.Error != nil {
			return nil, answer.Data, nil
		}
		all = append(all, page.Consumers...)
		if len(page.Consumers) == 0 || len(all) >= page.Total {
			return all, nil, nil
		}
	}
}

func quote(s string) jsontext.Value { return marshal(s) }

// marshal encodes what can't fail: texts, numbers, and values already encoded.
func marshal(v any) jsontext.Value {
	b, err := json.Marshal(v)
	if err != nil {
		return jsontext.Value("null")
	}
	return b
}
