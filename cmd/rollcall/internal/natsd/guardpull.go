package natsd

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"rollcall/cmd/rollcall/internal/console"
)

// A pull comes to the guard within the readers' account, where the subject that its
// messages go to is known, and goes on with that subject moved, as a push consumer's.
// Pulls without end so wait here, not in the queue of the stream. And nats-server has
// no rate for pulls: it has a window. A consumer with acknowledgements delivers
// nothing more while so many messages are not acknowledged. So each pull consumer of
// a reader has a window, and acknowledgements go through the guard, at a rate. Where
// the reader asked for none, the guard acknowledges what was delivered, once it has
// left the stream's queue:
//
//	consumer ── window ──▶ the stream's queue ──▶ reader
//	    ▲                         │
//	    └─ acknowledge ── Guard ◀─┘ an answer of its own came through that queue
//
// So the queue holds the windows of all readers' consumers at most, whatever they do.
const (
	// windowBytes is what the consumers of a stream have for their windows: each is
	// given that divided by the consumers there are, in messages of the stream's usual
	// size, readerUnacked at most.
	windowBytes = 16 << 20
	// readerBytes is what readers' pulls are delivered a second, all together. A
	// message counts as its stream's usual one, and as smallMessage at least.
	readerBytes  = 32 << 20
	smallMessage = 1024
	// readerAckWait is the least time after which a message is delivered again, half of
	// guardAckWait the most. That itself is of messages which the guard acknowledges.
	readerAckWait = 10 * time.Second
	guardAckWait  = time.Hour
	// busyRound and idleRound are how often the guard looks for what was delivered.
	busyRound = 20 * time.Millisecond
	idleRound = 200 * time.Millisecond
	// pullRate is how many pulls a second readers make, all together, and pullsWaiting
	// how many wait for their turn.
	pullRate     = 1000
	pullsWaiting = 8192
	// cleanRound is how often it looks for consumers that ended.
	cleanRound = 10 * time.Second
	// verbAck is the token of the guard's subjects that stands for $JS.ACK.
	verbAck = "ACK"
)

// window is what a consumer of a reader may have delivered and not acknowledged.
type window struct {
	messages int
	size     int // bytes a message counts as
	policy   string
	byGuard  bool   // the reader acknowledges nothing
	acked    uint64 // where the policy is all: up to this sequence
	made     time.Time
}

// cost is what so many messages take of readerBytes.
func (w window) cost(messages int) int { return min(messages*w.size, readerBytes) }

// windows are the consumers that the guard made, by stream and name. They are in
// memory, and so end with the server, as these do.
type windows struct {
	mu  sync.Mutex
	all map[string]map[string]window
	// bytes is what readers may still be delivered, pulls what they may still ask.
	bytes, pulls *rate.Limiter
}

func newWindows() *windows {
	return &windows{all: map[string]map[string]window{}, bytes: rate.NewLimiter(readerBytes, readerBytes), pulls: rate.NewLimiter(pullRate, pullRate)}
}

func (w *windows) add(stream, name string, made window) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all[stream] == nil {
		w.all[stream] = map[string]window{}
	}
	w.all[stream][name] = made
}

// forget is for one that ended, <stream>.<name>.
func (w *windows) forget(rest string) {
	stream, name, _ := strings.Cut(rest, ".")
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all[stream], name)
}

func (w *windows) find(stream, name string) (window, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	found, ok := w.all[stream][name]
	return found, ok
}

// acknowledged says for how many messages an acknowledgement of a consumer with the
// policy all may stand.
func (w *windows) acknowledged(token []string, c window) int {
	seq, err := strconv.ParseUint(token[3], 10, 64)
	if err != nil || seq <= c.acked {
		return 1
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	most := min(seq-c.acked, uint64(c.messages))
	if c, ok := w.all[token[0]][token[1]]; ok {
		c.acked = seq
		w.all[token[0]][token[1]] = c
	}
	return int(most)
}

// streams are those where the guard acknowledges, or all.
func (w *windows) streams(all bool) (names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, consumers := range w.all {
		for _, c := range consumers {
			if all || c.byGuard {
				names = append(names, name)
				break
			}
		}
	}
	return names
}

// keep forgets consumers of a stream that the server no longer has. One that was
// just made may be missing in a list from before.
func (w *windows) keep(stream string, there map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, made := range w.all[stream] {
		if !there[name] && time.Since(made.made) > cleanRound {
			delete(w.all[stream], name)
		}
	}
	if len(w.all[stream]) == 0 {
		delete(w.all, stream)
	}
}

// limitPull gives a pull consumer its window in a stream of that state.
func limitPull(config map[string]jsontext.Value, s streamState) window {
	size := max(smallMessage, int(s.Bytes/max(1, s.Messages)))
	w := window{messages: min(readerUnacked, max(1, windowBytes/(s.Consumers+1)/size)), size: size, policy: console.JSONText(config["ack_policy"]), made: time.Now()}
	if console.JSONText(config["deliver_subject"]) != "" {
		return w // it has a rate
	}
	if w.policy == "none" || w.policy == "" { // JetStream's zero value
		w.byGuard = true
		config["ack_policy"], config["ack_wait"], config["max_deliver"] = quote("all"), marshal(int64(guardAckWait)), marshal(1)
		config["max_ack_pending"] = marshal(w.messages)
		return w
	}
	given := func(name string) (n int64) {
		_ = json.Unmarshal(config[name], &n) // what is no number, the server refuses
		return n
	}
	if n := given("max_ack_pending"); n > 0 {
		w.messages = min(w.messages, int(n))
	}
	config["max_ack_pending"] = marshal(w.messages)
	if n := given("ack_wait"); n != 0 {
		config["ack_wait"] = marshal(min(max(n, int64(readerAckWait)), int64(guardAckWait/2)))
	}
	return w
}

// guardAcknowledges reports whether a reader's consumer is one that the guard
// acknowledges for: no other has that ack_wait.
func guardAcknowledges(config map[string]jsontext.Value) bool {
	return string(config["ack_wait"]) == string(marshal(int64(guardAckWait)))
}

// takePulls begins to pass pulls on.
func (g *Guard) takePulls(e *Server) (err error) {
	g.inside, err = nats.Connect("", nats.InProcessServer(e), nats.UserInfo(guardUser, e.password), nats.Name("rollcall-guard"),
		nats.MaxReconnects(-1), nats.ReconnectWait(250*time.Millisecond), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {
			g.warn("NATS clients without credentials pull more often than they are given: some pulls get no answer")
		}))
	if err != nil {
		return fmt.Errorf("connect to embedded NATS: %w", err)
	}
	sub, err := g.inside.Subscribe(apiNext+">", g.pull) // one after the other
	if err != nil {
		return fmt.Errorf("subscribe consumer guard: %w", err)
	}
	g.subs = append(g.subs, sub)
	return sub.SetPendingLimits(pullsWaiting, pullsWaiting*1024)
}

// pull passes a pull on, of a consumer that the guard made.
func (g *Guard) pull(m *nats.Msg) {
	tail, ok := strings.CutPrefix(m.Reply, inbox)
	if !ok || strings.ContainsAny(tail, "*>") || len(m.Data) > readerRequest {
		g.refusePull(m, "400", "a reader pulls to its inbox only, "+inbox)
		return
	}
	rest := strings.TrimPrefix(m.Subject, apiNext)
	stream, name, _ := strings.Cut(rest, ".")
	if _, ok := g.windows.find(stream, name); !ok {
		g.refusePull(m, "503", "") // as the server says where there is none
		return
	}
	if g.windows.pulls.Wait(g.ctx) == nil {
		_ = g.nc.PublishRequest(apiNext+rest, deliverSubject(accountReaders)+tail, m.Data)
	}
}

func (g *Guard) refusePull(m *nats.Msg, status, why string) {
	header := nats.Header{"Status": {status}}
	if why != "" {
		header["Description"] = []string{why}
	}
	_ = m.RespondMsg(&nats.Msg{Header: header}) // without a reply subject nobody waits for it
}

// acknowledge passes on what a reader acknowledges of its own consumers, in order and
// at the rate of readers. Others' it may not.
func (g *Guard) acknowledge(m *nats.Msg) {
	rest := strings.TrimPrefix(m.Subject, guardSubject(accountReaders)+verbAck+".")
	token := strings.Split(rest, ".") // stream, consumer, times delivered, sequence, ...
	if len(token) < 4 {
		return
	}
	w, ok := g.windows.find(token[0], token[1])
	if !ok || w.byGuard {
		return
	}
	messages := 1
	if w.policy == "all" {
		messages = g.windows.acknowledged(token, w)
	}
	if g.windows.bytes.WaitN(g.ctx, w.cost(messages)) != nil {
		return
	}
	data := m.Data
	if bytes.HasPrefix(data, []byte("+NXT")) {
		data = nil // a pull in the same message would be answered to the guard
	}
	if m.Reply == "" {
		_ = g.nc.Publish("$JS.ACK."+rest, data)
		return
	}
	go g.acknowledgeAndAnswer(m, "$JS.ACK."+rest, data)
}

// acknowledgeAndAnswer is for a reader that waits until its acknowledgement counts.
func (g *Guard) acknowledgeAndAnswer(m *nats.Msg, subject string, data []byte) {
	if answer, err := g.nc.Request(subject, data, readerWait); err == nil {
		_ = m.Respond(answer.Data)
	}
}

// refill acknowledges for readers that don't, until the guard is stopped.
func (g *Guard) refill() {
	wait, old, cleaned := idleRound, true, time.Now()
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-time.After(wait):
		}
		if old {
			old = g.removeOld() != nil // the next round tries again
		}
		clean := time.Since(cleaned) > cleanRound
		if clean {
			cleaned = time.Now()
		}
		wait = idleRound
		for _, stream := range g.windows.streams(clean) {
			if g.refillStream(stream) {
				wait = busyRound
			}
		}
	}
}

// delivered is what the server says of a consumer's deliveries.
type delivered struct {
	Name      string `json:"name"`
	Delivered struct {
		Consumer uint64 `json:"consumer_seq"`
		Stream   uint64 `json:"stream_seq"`
	} `json:"delivered"`
	Pending int `json:"num_ack_pending"`
}

// refillStream acknowledges what the readers' consumers of a stream have delivered,
// and reports whether that was anything.
func (g *Guard) refillStream(stream string) bool {
	all, _, err := g.consumers(stream)
	if err != nil {
		return false // the next round asks again
	}
	there := map[string]bool{}
	var due []delivered
	for _, raw := range all {
		var c delivered
		if json.Unmarshal(raw, &c) != nil {
			continue
		}
		there[c.Name] = true
		if w, ok := g.windows.find(stream, c.Name); ok && w.byGuard && c.Pending > 0 {
			due = append(due, c)
		}
	}
	g.windows.keep(stream, there)
	if len(due) == 0 {
		return false
	}
	// What was delivered until now is out of the queue when this is answered.
	if _, err := g.nc.Request("$JS.API.DIRECT.GET."+stream, nil, readerWait); err != nil {
		return true
	}
	for _, c := range due {
		w, _ := g.windows.find(stream, c.Name)
		if g.windows.bytes.WaitN(g.ctx, w.cost(c.Pending)) != nil {
			return false
		}
		_ = g.nc.Publish(fmt.Sprintf("$JS.ACK.%s.%s.1.%d.%d.0.0", stream, c.Name, c.Delivered.Stream, c.Delivered.Consumer), nil)
	}
	return true
}

// removeOld removes consumers that readers made of an earlier server and version,
// whose bounds were others. Their readers make new ones, as after every restart.
func (g *Guard) removeOld() error {
	g.making.Lock() // what is being made now is in windows afterwards
	defer g.making.Unlock()
	var names struct {
		Streams []string `json:"streams"`
	}
	answer, err := g.nc.Request("$JS.API.STREAM.NAMES", nil, readerWait)
	if err != nil {
		return fmt.Errorf("ask JetStream: %w", err)
	}
	if err := json.Unmarshal(answer.Data, &names); err != nil {
		return fmt.Errorf("read JetStream's answer: %w", err)
	}
	for _, stream := range names.Streams {
		all, _, err := g.consumers(stream)
		if err != nil {
			return err
		}
		for _, raw := range all {
			var c consumerInfo
			if json.Unmarshal(raw, &c) != nil || c.Config.Metadata[readerMark] != accountReaders {
				continue
			}
			if _, ok := g.windows.find(stream, c.Name); ok {
				continue
			}
			if _, err := g.nc.Request(apiConsumer+"DELETE."+stream+"."+c.Name, nil, readerWait); err != nil {
				return fmt.Errorf("remove consumer of a reader: %w", err)
			}
		}
	}
	return nil
}
