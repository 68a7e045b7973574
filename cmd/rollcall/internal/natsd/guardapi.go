package natsd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
)

// What clients without credentials ask JetStream for, beside consumers. nats-server
// bounds neither how much one request gets nor how fast requests come. What it
// answers goes through one queue a stream, and so does the word that a record is
// stored: eight readers of a whole log kept every webhook waiting until it was
// refused. And while a request for many messages is answered, nothing is stored.
// So requests come here, and readers together get a bounded number of messages a
// second.
const (
	// readerMessages is that number, and readerBurst how many are given at once.
	readerMessages = 20_000
	readerBurst    = 2 * readerPull
	// readerPull is how many messages one pull may ask for: libraries ask for 500,
	// this program's own commands for 4,000.
	readerPull = 4096
	// readerBatch and readerBatchBytes are what one direct get may ask for.
	readerBatch      = 256
	readerBatchBytes = 1 << 20
	// requestCost is what a request for a single message counts as, and stateCost
	// one that describes streams or consumers.
	requestCost = 10
	stateCost   = 50
	// readerPushBits is what push consumers of a stream are delivered a second. Each
	// is given its part when it is made, and leastPushBits at least.
	readerPushBits = 128 << 20
	leastPushBits  = 1 << 20
)

// Tokens of the guard's subjects that stand for $JS.API and $JS.ACK.
const (
	verbAPI = "API"
	verbAck = "ACK"
)

// readersAsk is how a subject of JetStream's comes to the guard from readers.
func readersAsk(subject string) string {
	return guardSubject(accountReaders) + strings.TrimPrefix(subject, "$JS.")
}

// passed reports whether a reader's request of readerRequests goes through the
// guard. Answers to flow control are no requests.
func passed(subject string) bool { return !strings.HasPrefix(subject, "$JS.FC.") }

// acknowledge passes an acknowledgement on, unless it asks for more messages.
func (g visitor) acknowledge(rest string, m *nats.Msg) {
	if strings.HasPrefix(string(m.Data), "+NXT") {
		return // pulls are asked for as pulls
	}
	_ = g.nc.PublishRequest("$JS.ACK."+rest, m.Reply, m.Data) // an acknowledgement may be lost
}

// ask passes a request on. The server answers the reader itself: the reply subject
// is good for whoever publishes in the log's account. Headers are left out, since
// the server obeys some.
func (g visitor) ask(rest string, m *nats.Msg) {
	request, cost, err := boundRequest(rest, m.Data)
	if err == nil {
		err = g.pay(cost)
	}
	if err != nil {
		_ = m.RespondMsg(refusalMessage(rest, err)) // who went away needs no answer
		return
	}
	_ = g.nc.PublishRequest("$JS.API."+rest, m.Reply, request)
}

// pay waits until readers may have so many messages more.
func (g visitor) pay(cost int) error {
	if g.account != accountReaders {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), readerWait)
	defer cancel()
	if g.messages.WaitN(ctx, cost) != nil {
		return fmt.Errorf("readers without credentials together get at most %d messages a second; try again later", readerMessages)
	}
	return nil
}

// refusalMessage is an answer that holds an error, in the form that clients expect of
// the request.
func refusalMessage(rest string, err error) *nats.Msg {
	if strings.HasPrefix(rest, "DIRECT.") || strings.HasPrefix(rest, "CONSUMER.MSG.NEXT.") {
		return &nats.Msg{Header: nats.Header{"Status": {"408"}, "Description": {err.Error()}}}
	}
	return &nats.Msg{Data: marshal(apiAnswer{"io.nats.jetstream.api.v1.error_response", refusalOf(err)})}
}

// boundRequest brings a request within a reader's bounds, and says what it costs.
func boundRequest(rest string, request []byte) (out []byte, cost int, err error) {
	if len(request) > readerRequest {
		return nil, 0, fmt.Errorf("a reader's request has at most %d bytes", readerRequest)
	}
	var body map[string]jsontext.Value
	if strings.HasPrefix(strings.TrimSpace(string(request)), "{") {
		if err := json.Unmarshal(request, &body); err != nil {
			return nil, 0, errors.New("the request is no JSON object")
		}
	}
	if name, ok := foreign(body); ok {
		return nil, 0, fmt.Errorf("a request has no member %q", name)
	}
	switch {
	case strings.HasPrefix(rest, "CONSUMER.MSG.NEXT."):
		cost, err = pullCost(body, string(request))
		return request, cost, err
	case strings.HasPrefix(rest, "DIRECT.GET.") && (body["batch"] != nil || body["multi_last"] != nil):
		err = limitBatch(body)
		return marshal(body), readerBatch, err
	case strings.HasPrefix(rest, "DIRECT."), strings.HasPrefix(rest, "STREAM.MSG.GET."):
		return request, requestCost, nil
	case body["subjects_filter"] != nil:
		return nil, 0, errors.New("readers get no list of a stream's subjects; read the stream, or connect with a role (--nats-users)")
	}
	return request, stateCost, nil
}

// pullCost is how many messages a pull asks for, which is a number or in an object.
func pullCost(body map[string]jsontext.Value, request string) (int, error) {
	n := 1
	if body != nil {
		_ = json.Unmarshal(body["batch"], &n) // missing is one
	} else if request = strings.TrimSpace(request); request != "" {
		n, _ = strconv.Atoi(request) // the server takes what is no number as one
	}
	if n > readerPull {
		return 0, fmt.Errorf("a reader pulls at most %d messages at a time", readerPull)
	}
	return max(n, 1), nil
}

// limitBatch bounds a direct get of many messages. The last messages of subjects
// with wildcards would have the server look at every subject there is.
func limitBatch(body map[string]jsontext.Value) error {
	var subjects []string
	_ = json.Unmarshal(body["multi_last"], &subjects) // the server says what is wrong with others
	if len(subjects) > readerFilters || slices.ContainsFunc(subjects, func(s string) bool { return strings.ContainsAny(s, "*>") }) {
		return fmt.Errorf("a reader's request names at most %d subjects, without wildcards", readerFilters)
	}
	for name, most := range map[string]int64{"batch": readerBatch, "max_bytes": readerBatchBytes} {
		var n int64
		if json.Unmarshal(body[name], &n) != nil || n <= 0 || n > most {
			body[name] = marshal(most)
		}
	}
	return nil
}

// limitPush bounds how fast a push consumer is delivered to, beside the consumers
// that the stream has.
func limitPush(config map[string]jsontext.Value, consumers int) {
	if jsonText(config["deliver_subject"]) == "" {
		return
	}
	var given int64
	most := int64(max(leastPushBits, readerPushBits/(consumers+1)))
	if json.Unmarshal(config["rate_limit_bps"], &given) != nil || given <= 0 || given > most {
		config["rate_limit_bps"] = marshal(most)
	}
}

// busy is logged once a minute where readers ask for more than is answered.
func (g *Guard) busy() {
	g.making.Lock()
	defer g.making.Unlock()
	if time.Since(g.warned) > time.Minute {
		g.warned = time.Now()
		g.log.Warn().Msg("NATS clients without credentials ask for more than they are given: some requests get no answer")
	}
}
