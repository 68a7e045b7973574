//go:build browser

package page_test

import (
	"fmt"
	"testing"
)

// TestFilesHaveAllRows: a list as CSV and for spreadsheets ends with its last row, far
// beyond what the page lists; where the API wants a token, and with the keyboard.
func TestFilesHaveAllRows(t *testing.T) {
	t.Parallel()
	const token, rows = "0123456789abcdef0123456789abcdef", 1100
	world := newProduct(t, token)
	for i := range rows {
		world.post(fmt.Sprintf(`{"event":"recording.statusUpdate","recording":{"recordingId":"rec-%04d","status":"RECORDING"}}`, i))
	}
	p := open(t, world.api.URL+"/#/list/recordings")
	p.expect("401")
	p.wait(`document.querySelector("dialog[open] input")`)
	p.eval(`document.querySelector("dialog[open] input").focus()`, nil)
	p.call("Input.insertText", map[string]any{"text": token}, nil)
	p.press("Enter", "Enter", 13)
	p.text("The first 1,000 are listed")
	connected(p)
	// What is saved is a blob: its bytes are looked at.
	p.eval(`(() => { const made = URL.createObjectURL; URL.createObjectURL = (blob) => { blob.arrayBuffer().then((b) => (window.saved = b)); return made.call(URL, blob); }; })()`, nil)
	p.eval(`(() => { const click = HTMLAnchorElement.prototype.click; HTMLAnchorElement.prototype.click = function () { window.named = this.download; return click.call(this); }; })()`, nil)
	for _, file := range []struct {
		label, name string
		bom         bool
	}{{"CSV", "recordings.csv", false}, {"Spreadsheet", "recordings_sheet.csv", true}} {
		p.eval(`window.saved = null`, nil)
		p.eval(fmt.Sprintf(`[...document.querySelectorAll("a[download]")].find((a) => a.innerText === %q).focus()`, file.label), nil)
		p.press("Enter", "Enter", 13)
		p.wait(`window.saved`)
		var got struct {
			Lines int
			BOM   bool
			Name  string
		}
		p.eval(`({lines: new TextDecoder().decode(window.saved).trimEnd().split("\r\n").length, bom: new Uint8Array(window.saved)[0] === 0xef, name: window.named})`, &got)
		if got.Lines != rows+1 || got.BOM != file.bom || got.Name != file.name {
			t.Errorf("%s has %d lines, byte order mark %v, and is saved as %s; want the head and %d rows, %v, %s", file.label, got.Lines, got.BOM, got.Name, rows, file.bom, file.name)
		}
	}
}
