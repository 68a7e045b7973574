package natsd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"

	"rollcall/cmd/rollcall/internal/console"
)

// What clients without credentials ask JetStream for, beside consumers. nats-server
// bounds neither how much one request gets nor how fast requests come. What it
// answers goes through one queue a stream, and so does the report that a record is
// stored; and while a request for many messages is answered, nothing is stored:
// eight readers that asked for the whole log kept every webhook waiting until it
// was refused. So these requests come here. Pulls come another way (guardpull.go): the
// server gives no client the reply subjects of another account to pass on, and only it
// can send a message under the subject that it was stored by.
const (
	// readerTokens is how many tokens per second all readers together have for requests.
	// One for a single message costs requestCost, others stateCost.
	readerTokens = 20_000
	requestCost  = 10
	stateCost    = 50
	// readerPushBits is how many bits per second push consumers of a stream receive. Each
	// is given its part when it is made, and leastPushBits at least.
	readerPushBits = 128 << 20
	leastPushBits  = 1 << 20
)

// verbAPI is the token of the guard's subjects that stands for $JS.API.
const verbAPI = "API"

// readersAsk is how a subject of JetStream's comes to the guard from readers.
func readersAsk(subject string) string {
	return guardSubject(accountReaders) + strings.TrimPrefix(subject, "$JS.")
}

// passed reports whether a request of readerRequests has one answer, and so goes
// through the guard. So do acknowledgements (guardpull.go).
func passed(subject string) bool {
	return !strings.HasPrefix(subject, apiConsumer) && !strings.HasPrefix(subject, "$JS.FC.")
}

// ask passes a request on, and its answer back. Headers are left out, since the
// server acts on some.
func (g visitor) ask(rest string, m *nats.Msg) {
	cost, err := boundRequest(rest, m.Data)
	if err == nil {
		err = g.pay(cost)
	}
	var answer *nats.Msg
	if err == nil {
		answer, err = g.nc.Request("$JS.API."+rest, m.Data, 5*time.Second)
	}
	if err != nil {
		answer = refusalMessage(rest, err)
	}
	_ = m.RespondMsg(&nats.Msg{Header: answer.Header, Data: answer.Data}) // a client that has gone needs no answer
}

// pay waits until readers may spend that many tokens.
func (g visitor) pay(cost int) error {
	if g.account != accountReaders {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), readerWait)
	defer cancel()
	if g.tokens.WaitN(ctx, cost) != nil {
		return errors.New("readers without credentials ask for too much; try again later")
	}
	return nil
}

// refusalMessage is an answer that holds an error, in the form that clients expect of
// the request.
func refusalMessage(rest string, err error) *nats.Msg {
	if strings.HasPrefix(rest, "DIRECT.") {
		return &nats.Msg{Header: nats.Header{"Status": {"408"}, "Description": {err.Error()}}}
	}
	return &nats.Msg{Data: marshal(apiAnswer{"io.nats.jetstream.api.v1.error_response", refusalOf(err)})}
}

// boundRequest refuses what a reader may not ask for, and says what the rest costs.
func boundRequest(rest string, request []byte) (cost int, err error) {
	if len(request) > readerRequest {
		return 0, fmt.Errorf("a reader's request has at most %d bytes", readerRequest)
	}
	var body map[string]jsontext.Value
	if text := strings.TrimSpace(string(request)); text != "" && json.Unmarshal(request, &body) != nil {
		return 0, errors.New("the request is no JSON object")
	}
	if name, ok := foreign(body); ok {
		return 0, fmt.Errorf("a request has no member %q", name)
	}
	switch {
	case body["batch"] != nil || body["multi_last"] != nil:
		return 0, errors.New("readers get one message a request; use a consumer, or connect with a role (--nats-users)")
	case body["subjects_filter"] != nil:
		return 0, errors.New("readers get no list of a stream's subjects; read the stream, or connect with a role (--nats-users)")
	case strings.HasPrefix(rest, "DIRECT."), strings.HasPrefix(rest, "STREAM.MSG.GET."):
		return requestCost, nil
	}
	return stateCost, nil
}

// limitPush bounds how fast a push consumer is delivered to, beside the consumers
// that the stream has.
func limitPush(config map[string]jsontext.Value, consumers int) {
	if console.JSONText(config["deliver_subject"]) == "" {
		return
	}
	var given int64
	most := int64(max(leastPushBits, readerPushBits/(consumers+1)))
	if json.Unmarshal(config["rate_limit_bps"], &given) != nil || given <= 0 || given > most {
		config["rate_limit_bps"] = marshal(most)
	}
}
