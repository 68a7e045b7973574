//go:build browser

package page_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"rollcall/eventlog"
)

// module imports one of the page's modules by its source's name.
func module(name string) string {
	return fmt.Sprintf(`await import([...document.querySelectorAll("link[rel=modulepreload]")].find((l) => l.href.includes("/assets/%s.")).href)`, name)
}

// inPage runs code that returns a list of what went wrong.
func inPage(p *tab, code string) {
	p.t.Helper()
	var problems []string
	p.eval("(async () => { const wrong = []; const is = (got, want, what) => JSON.stringify(got) === JSON.stringify(want) || wrong.push(what + \" = \" + JSON.stringify(got) + \"; want \" + JSON.stringify(want)); "+code+"\nreturn wrong; })()", &problems)
	if len(problems) > 0 {
		p.t.Errorf("%s", strings.Join(problems[:min(len(problems), 10)], "\n"))
	}
}

// TestPatch: whatever the lists before and after, the children are those of the
// last one, in its order, and a key keeps its element.
func TestPatch(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	p := open(t, s.URL)
	connected(p)
	inPage(p, `
		const { h, patch, memo } = `+module("dom")+`;
		let seed = 7;
		const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
		const parent = document.createElement("div");
		document.body.append(parent);
		let before = new Map();
		for (let round = 0; round < 400; round++) {
			const keys = [...new Set(Array.from({ length: random(14) }, () => random(16)))];
			const list = keys.map((k) => random(5) ? h("p", { key: k, class: "c" + random(3) }, "k" + k + ".", random(2) ? h("b", {}, round) : null) : h("p", { key: k }, "k" + k + "."));
			if (random(3) === 0) list.splice(random(list.length + 1), 0, h("i", {}, "loose"), "text", null, false);
			patch(parent, list);
			const got = [...parent.querySelectorAll("p")].map((e) => Number(/^k(\d+)/.exec(e.textContent)[1]));
			is(got, keys, "order in round " + round);
			is(parent.childNodes.length, list.filter(Boolean).length, "children in round " + round);
			const now = new Map([...parent.querySelectorAll("p")].map((e) => [/^k(\d+)/.exec(e.textContent)[1], e]));
			for (const [k, e] of now) if (before.has(k) && before.get(k) !== e) wrong.push("key " + k + " lost its element in round " + round);
			before = now;
		}
		// What is typed is not overwritten; handlers, attributes and styles go when they are no longer said.
		let clicks = 0;
		patch(parent, h("input", { key: "i", value: "a" }), h("button", { key: "b", title: "t", style: { left: "3px" }, onclick: () => clicks++ }, "x"));
		const input = parent.querySelector("input");
		input.focus();
		input.value = "typed";
		parent.querySelector("button").click();
		patch(parent, h("button", { key: "b" }, "x"), h("input", { key: "i", value: "b" }));
		parent.querySelector("button").click();
		is([clicks, input.value, document.activeElement === input, parent.querySelector("button").outerHTML], [1, "typed", true, '<button style="">x</button>'], "after the second patch");
		patch(parent, h("a", { href: "javascript:alert(1)" }, "x"), h("a", { href: " \tjava\nscript:alert(1)" }, "x"), h("a", { href: "data:text/html,x" }, "x"), h("a", { href: "https://files.example/x" }, "x"), h("a", { href: "#/live" }, "x"));
		is([...parent.querySelectorAll("a")].map((a) => a.getAttribute("href")), [null, null, null, "https://files.example/x", "#/live"], "links");
		// An unchanged row is the same description, and is not built again.
		const m = memo();
		let built = 0;
		const row = (x) => m.row("r", [x], () => (built++, {}));
		const one = row(1); m.sweep(); const two = row(1); m.sweep(); const three = row(2); m.sweep();
		is([one === two, two === three, built], [true, false, 2], "memo");
		parent.remove();`)
}

// TestEventStream: events come out the same however the stream is cut.
func TestEventStream(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	p := open(t, s.URL)
	connected(p)
	inPage(p, `
		const { lines } = `+module("feed")+`;
		const stream = "retry: 1000\nid: a:1\n\n: alive\n\nevent: change\r\nid: a:2\r\ndata: {\"key\":\"x: y\"}\r\n\r\nevent: change\rdata:one\rdata: two\r\revent: empty\n\ndata\n\nid: a:3\n\n";
		const want = [{ event: "message", retry: 1000, id: "a:1" }, { event: "change", id: "a:2", data: '{"key":"x: y"}' }, { event: "change", data: "one\ntwo" }, { event: "message", data: "" }, { event: "message", id: "a:3" }];
		for (let size = 1; size <= stream.length; size++) {
			const read = lines();
			const got = [];
			for (let i = 0; i < stream.length; i += size) got.push(...read(stream.slice(i, i + size)));
			is(got, want, "in pieces of " + size);
		}`)
}

// TestFormat: what people read.
func TestFormat(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	p := open(t, s.URL)
	connected(p)
	inPage(p, `
		const f = `+module("format")+`;
		const c = `+module("chart")+`;
		for (const [in_, want] of [[0, "0:00:00"], [59.9, "0:01:00"], [3600, "1:00:00"], [360061, "100:01:01"], [-5, "0:00:00"], [null, "–"]]) is(f.duration(in_), want, "duration of " + in_);
		for (const [in_, want] of [[10, "expires in 0:00:10"], [86400 * 3, "expires in 3 days"], [-5, "expired 5 s ago"], [-7300, "expired 2 h ago"]]) is(f.remaining(in_), want, "remaining of " + in_);
		for (const [in_, want] of [[0, "0 B"], [1023, "1023 B"], [1536, "1.5 KiB"], [48300000, "46.1 MiB"], [null, "–"]]) is(f.bytes(in_), want, "bytes of " + in_);
		for (const [in_, want] of [["a\u202Eb", "a[U+202E]b"], ["👩\u200D👧", "👩\u200D👧"], ["a\u200Db", "a[U+200D]b"], ["\uD800", "[U+D800]"], ["x".repeat(90), "x".repeat(80) + "[… 10 more]"]]) is(f.flatText(in_), want, "flatText of " + JSON.stringify(in_));
		// A leave at T is before a join at T; an empty interval counts nothing; all is cut at the end.
		const at = (m) => new Date(m * 60000).toISOString();
		const person = (...list) => ({ connections: list.map(([a, b]) => ({ peerId: "p", joinedAt: at(a), leftAt: b === null ? null : at(b), closedBy: b === null ? null : "LEFT" })) });
		const line = c.steps({ status: "ENDED", endedAt: at(30) }, [person([0, 10]), person([10, 20]), person([5, 5]), person([15, 40]), person([29, 29])], 0);
		is(line.map((s) => [s.at / 60000, s.n]), [[0, 1], [10, 1], [15, 2], [20, 1], [30, 0]], "steps");
		is(Math.max(...c.ticks({ from: 0, to: 3 * 366 * 86400000 }, 6).map((_, i) => i)) < 7, true, "few ticks");
		// Of several days each names itself, at its midnight, also after the clocks were changed.
		const axis = (from, to) => c.axis({ from: Date.parse(from), to: Date.parse(to) }).children.map((t) => t.children[0]).join();
		is(axis("2026-10-13T11:58:05Z", "2026-11-27T23:00:00Z"), ["10-18", "10-26", "11-03", "11-11", "11-19", "11-27"].map((d) => f.day(Date.parse("2026-" + d))).join(), "axis of weeks");
		is(axis("2026-10-24T20:00:00Z", "2026-10-26T02:00:00Z"), f.day(Date.parse("2026-10-25")) + ",06:00,12:00,18:00," + f.day(Date.parse("2026-10-26")), "axis of a day and a half");
		is(axis("2026-10-24T20:00:00Z", "2026-10-24T21:00:00Z"), "22:00,22:10,22:20,22:30,22:40,22:50,23:00", "axis of an hour");`)
}

// TestSameFigures: a duration and a percentage are the same on the page as in
// spreadsheets and in the commands' tables, halves too.
func TestSameFigures(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	p := open(t, s.URL)
	connected(p)
	figures := [][]any{}
	for s := range 3601 {
		attended := eventlog.Seconds(s)*eventlog.Second + eventlog.Seconds(s%4)*eventlog.Second/4
		ratio := float64(s) / 3600
		figures = append(figures, []any{attended.Float(), attended.Clock(), ratio, strings.Replace(eventlog.Percent(ratio), ".0", "", 1) + " %"})
	}
	list, err := json.Marshal(figures)
	if err != nil {
		t.Fatal(err)
	}
	inPage(p, `
		const f = `+module("format")+`;
		for (const [seconds, clock, ratio, percent] of `+string(list)+`) {
			is(f.duration(seconds), clock, "duration of " + seconds);
			is(f.percent(ratio), percent, "percent of " + ratio);
		}`)
}

// TestChosenIsReadAtOnce: changes wait until a view has rested, what a person chose
// does not. No timer ends here, so that nothing else can end the rest.
func TestChosenIsReadAtOnce(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	p := open(t, s.URL)
	connected(p)
	inPage(p, `
		const { loader } = `+module("refresh")+`;
		const timer = window.setTimeout;
		const settle = () => new Promise((done) => timer.call(window, done, 0));
		let reads = 0;
		const view = loader(async () => { reads++; }, { draw() {}, signal: new AbortController().signal, rest: 2000 });
		window.setTimeout = () => 0;
		view.load();
		await settle();
		view.load();
		await settle();
		is(reads, 1, "reads while the view rests");
		view.now();
		await settle();
		is(reads, 2, "reads after a choice while it rests");
		view.now();
		await settle();
		is(reads, 3, "reads after another choice");
		window.setTimeout = timer;`)
}
