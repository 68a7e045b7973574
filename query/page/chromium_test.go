//go:build browser

package page_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/eventlog/eventlogtest"
)

// The browser is driven over its own pipe (--remote-debugging-pipe): JSON
// messages that end in a NUL, which needs no library and no port.

const patience = eventlogtest.Patience

var shared struct {
	sync.Once
	*browser
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.browser != nil {
		shared.close()
	}
	os.Exit(code)
}

// chromium returns the test binary's one browser. Without one installed the test
// is skipped, but fails where CI=true says that there has to be one.
func chromium(t *testing.T) *browser {
	t.Helper()
	shared.Do(func() {
		var path string
		for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
			if found, err := exec.LookPath(name); err == nil {
				path = found
				break
			}
		}
		if path == "" {
			shared.err = errors.New("no Chromium: apt-get install chromium, or set CHROMIUM to its path")
			return
		}
		shared.browser, shared.err = launch(path)
	})
	if shared.err != nil {
		if shared.browser == nil && os.Getenv("CI") == "true" {
			t.Fatal(shared.err)
		}
		t.Skip(shared.err)
	}
	return shared.browser
}

// browser is a headless Chromium.
type browser struct {
	cmd    *exec.Cmd
	folder string
	toPipe *os.File
	mu     sync.Mutex
	last   int
	calls  map[int]chan reply
	tabs   map[string]*tab
	ended  chan struct{}
}

type reply struct {
	ID        int             `json:"id"`
	SessionID string          `json:"sessionId"`
	Method    string          `json:"method"`
	Params    json.RawMessage `json:"params"`
	Result    json.RawMessage `json:"result"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// browserZone is the time zone of who looks at the page.
const browserZone = "Europe/Berlin"

func launch(path string) (*browser, error) {
	folder, err := os.MkdirTemp("", "rollcall-chromium-")
	if err != nil {
		return nil, err
	}
	theirIn, toPipe, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	fromPipe, theirOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--lang=en-GB",
		"--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows",
		"--no-proxy-server", "--remote-debugging-pipe", "--user-data-dir="+folder, "about:blank")
	cmd.Env = append(os.Environ(), "TZ="+browserZone)
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	_ = theirIn.Close()
	_ = theirOut.Close()
	b := &browser{cmd: cmd, folder: folder, toPipe: toPipe, calls: map[int]chan reply{}, tabs: map[string]*tab{}, ended: make(chan struct{})}
	go b.read(fromPipe)
	return b, nil
}

func (b *browser) close() {
	_, _ = b.call(context.Background(), "", "Browser.close", nil)
	_ = b.toPipe.Close()
	_ = b.cmd.Wait()
	<-b.ended
	_ = os.RemoveAll(b.folder)
}

func (b *browser) read(from io.ReadCloser) {
	defer close(b.ended)
	defer from.Close()
	r := bufio.NewReaderSize(from, 1<<20)
	for {
		line, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m reply
		if json.Unmarshal(bytes.TrimSuffix(line, []byte{0}), &m) != nil {
			continue
		}
		b.mu.Lock()
		ch, to := b.calls[m.ID], b.tabs[m.SessionID]
		delete(b.calls, m.ID)
		b.mu.Unlock()
		switch {
		case m.ID != 0 && ch != nil:
			ch <- m
		case to != nil:
			to.received(m)
		}
	}
}

// call sends a command and waits for its answer.
func (b *browser) call(ctx context.Context, session, method string, params any) (json.RawMessage, error) {
	ch := make(chan reply, 1)
	b.mu.Lock()
	b.last++
	id := b.last
	b.calls[id] = ch
	message := map[string]any{"id": id, "method": method}
	if params != nil {
		message["params"] = params
	}
	if session != "" {
		message["sessionId"] = session
	}
	text, err := json.Marshal(message)
	if err == nil {
		_, err = b.toPipe.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	select {
	case m := <-ch:
		if m.Error != nil {
			return nil, fmt.Errorf("%s: %s", method, m.Error.Message)
		}
		return m.Result, nil
	case <-b.ended:
		return nil, fmt.Errorf("%s: the browser is gone", method)
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// tab is one page, with storage of its own.
type tab struct {
	t        *testing.T
	b        *browser
	session  string
	mu       sync.Mutex
	problems []string // exceptions, and what the console calls an error
	expected []string // parts of problems that the test brings about
}

// open shows an address in a new tab. When the test ends the tab is closed, and
// an exception or console error that was not expected fails it.
func open(t *testing.T, address string) *tab {
	t.Helper()
	p := blank(t)
	p.visit(address)
	return p
}

func (p *tab) visit(address string) {
	p.t.Helper()
	p.call("Page.navigate", map[string]any{"url": address}, nil)
}

// blank is an empty tab.
func blank(t *testing.T) *tab {
	t.Helper()
	b := chromium(t)
	p := &tab{t: t, b: b}
	var made struct{ BrowserContextID, TargetID, SessionID string }
	browserCall(t, b, "Target.createBrowserContext", map[string]any{}, &made)
	browserCall(t, b, "Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": made.BrowserContextID, "width": 1280, "height": 900}, &made)
	browserCall(t, b, "Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &made)
	p.session = made.SessionID
	b.mu.Lock()
	b.tabs[p.session] = p
	b.mu.Unlock()
	t.Cleanup(func() {
		_, _ = b.call(context.Background(), "", "Target.closeTarget", map[string]any{"targetId": made.TargetID})
		_, _ = b.call(context.Background(), "", "Target.disposeBrowserContext", map[string]any{"browserContextId": made.BrowserContextID})
		b.mu.Lock()
		delete(b.tabs, p.session)
		b.mu.Unlock()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, problem := range p.problems {
			if !slices.ContainsFunc(p.expected, func(e string) bool { return strings.Contains(problem, e) }) {
				t.Errorf("the page reported: %s", problem)
			}
		}
	})
	for _, domain := range []string{"Runtime.enable", "Log.enable", "Page.enable", "Performance.enable"} {
		p.call(domain, nil, nil)
	}
	p.size(1280, 900)
	return p
}

func browserCall(t *testing.T, b *browser, method string, params, result any) {
	t.Helper()
	raw, err := b.call(t.Context(), "", method, params)
	if err == nil {
		err = json.Unmarshal(raw, result)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// received keeps what the page reports on its own.
func (p *tab) received(m reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m.Method {
	case "Runtime.exceptionThrown":
		p.problems = append(p.problems, string(m.Params))
	case "Log.entryAdded":
		var e struct {
			Entry struct{ Level, Text, URL string }
		}
		if json.Unmarshal(m.Params, &e) == nil && e.Entry.Level == "error" {
			p.problems = append(p.problems, e.Entry.Text+" "+e.Entry.URL)
		}
	case "Runtime.consoleAPICalled":
		var c struct {
			Type string
			Args []struct{ Description string }
		}
		if json.Unmarshal(m.Params, &c) == nil && c.Type == "error" {
			p.problems = append(p.problems, fmt.Sprint(c.Args))
		}
	}
}

// expect names a console error that this test brings about.
func (p *tab) expect(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = append(p.expected, part)
}

func (p *tab) call(method string, params, result any) {
	p.t.Helper()
	raw, err := p.b.call(p.t.Context(), p.session, method, params)
	if err == nil && result != nil {
		err = json.Unmarshal(raw, result)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// eval returns the value of an expression, which may be a promise, in result.
func (p *tab) eval(expression string, result any) {
	p.t.Helper()
	var out struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		}
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description, Value string }
		}
	}
	p.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true}, &out)
	if x := out.ExceptionDetails; x != nil {
		p.t.Fatalf("evaluate %.300s: %s %s %s", expression, x.Text, x.Exception.Description, x.Exception.Value)
	}
	if result != nil && len(out.Result.Value) > 0 {
		if err := json.Unmarshal(out.Result.Value, result); err != nil {
			p.t.Fatalf("evaluate %.300s: %v", expression, err)
		}
	}
}

// wait waits until an expression is true, and returns how long that took in the page.
func (p *tab) wait(expression string) time.Duration {
	p.t.Helper()
	var ms float64
	p.eval(fmt.Sprintf(`new Promise((done, failed) => {
		const from = performance.now();
		const look = () => {
			let ok = false;
			try { ok = (%s); } catch {}
			if (ok) done(performance.now() - from);
			else if (performance.now() - from > %d) failed("waited in vain for: " + %q + "\n" + document.body?.innerText.slice(0, 2000));
			else setTimeout(look, 10);
		};
		look();
	})`, expression, patience.Milliseconds(), expression), &ms)
	return time.Duration(ms * float64(time.Millisecond))
}

// text waits until the page's text holds something.
func (p *tab) text(wanted string) time.Duration {
	p.t.Helper()
	return p.wait(fmt.Sprintf("document.body.innerText.includes(%s)", quoted(wanted)))
}

// route follows one of the page's routes.
func (p *tab) route(hash string) {
	p.t.Helper()
	p.eval("void (location.hash = "+quoted(hash)+")", nil)
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// size sets the window's size; up to 500 wide it is a phone.
func (p *tab) size(width, height int) {
	p.t.Helper()
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width <= 500}, nil)
}

// dark says what the system prefers.
func (p *tab) dark(on bool) {
	p.t.Helper()
	value := "light"
	if on {
		value = "dark"
	}
	p.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": value}}}, nil)
}

// press types one key, such as Tab or Enter.
func (p *tab) press(key, code string, number int) {
	p.t.Helper()
	text := ""
	if key == "Enter" {
		text = "\r"
	}
	for _, kind := range []string{"keyDown", "keyUp"} {
		p.call("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "code": code, "windowsVirtualKeyCode": number, "text": text}, nil)
	}
}

// metrics are the browser's own sums for this page, in seconds.
func (p *tab) metrics() map[string]float64 {
	p.t.Helper()
	var out struct {
		Metrics []struct {
			Name  string
			Value float64
		}
	}
	p.call("Performance.getMetrics", nil, &out)
	all := map[string]float64{}
	for _, m := range out.Metrics {
		all[m.Name] = m.Value
	}
	return all
}

// shot takes a picture of the window as PNG.
func (p *tab) shot() []byte {
	p.t.Helper()
	var out struct{ Data string }
	p.call("Page.captureScreenshot", map[string]any{"format": "png", "optimizeForSpeed": false}, &out)
	picture, err := base64.StdEncoding.DecodeString(out.Data)
	if err != nil {
		p.t.Fatal(err)
	}
	return picture
}
