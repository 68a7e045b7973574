package eventlog

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// recordingOf decodes a status update with these members.
func recordingOf(members string) (Recording, []string) {
	ev := Decode(&Record{Body: []byte(`{"event":"recording.statusUpdate","recording":{"id":"r",` + members + `}}`)})
	return ev.Recording, ev.Problems
}

func TestFiles(t *testing.T) {
	deep := strings.Repeat("[", 20) + `{"url":"u"}` + strings.Repeat("]", 20)
	for members, want := range map[string][]File{
		`"downloadUrl":[{"url":"u"}]`:                                                    {{"", "u", ""}},
		`"downloadUrl":{"url":"u","user_id":"c"}`:                                        {{"c", "u", ""}},
		`"downloadUrl":{"c":["u",{"url":"v"}]}`:                                          {{"c", "v", ""}},
		`"downloadUrl":{"c":"u","c":"v"}`:                                                {{"c", "v", ""}},
		`"downloadUrl":{"\u0063":"\u0075"}`:                                              {{"c", "u", ""}},
		"\"downloadUrl\":{\"c\":\"\xff\"}":                                               {{"c", "\ufffd", ""}},
		`"downloadUrl":{"default_a_b_p_peer_audio_1.webm":"u"}`:                          {{"a_b", "u", ""}},
		`"downloadUrl":{"x_a_p_peer_audio_1.webm":"u"}`:                                  {{"a", "u", ""}},
		`"downloadUrl":{"x_y_a_p_peer_audio_1.webm":"u"}`:                                {{"", "u", ""}},
		`"downloadUrl":{"a_p_peer_audio_1.webm":"u"}`:                                    {{"a_p_peer_audio_1.webm", "u", ""}},
		`"downloadUrl":{"x_a_p_peer_audio_1z.webm":"u"}`:                                 {{"x_a_p_peer_audio_1z.webm", "u", ""}},
		`"downloadUrl":[{"layer_name":"d","files":[{"url":"u"}]}]`:                       {{"", "u", ""}},
		`"downloadUrl":[{"url":"u"}],"downloadUrl":null`:                                 nil,
		`"downloadUrl":[{"url":"u"}],"downloadUrl":"v"`:                                  nil,
		`"downloadUrl":"v","downloadUrl":[{"url":"u"}]`:                                  {{"", "u", ""}},
		`"downloadUrl":[],"download_url":[{"url":"u"}]`:                                  {{"", "u", ""}},
		`"downloadUrl":[{"url":"u"}],"download_url":[{"url":"v"}]`:                       {{"", "u", ""}},
		`"downloadUrl":"v","download_url":[{"url":"u"}]`:                                 nil,
		`"downloadUrl":` + deep:                                                          nil,
		`"downloadUrl":` + strings.Repeat(`{"c":`, 20) + `"u"` + strings.Repeat("}", 20): nil,
		`"downloadUrl":[{"url":"` + strings.Repeat("x", maxText+1) + `"}]`:               nil,
		`"downloadUrl":[{"audio_download_url":"a","url":7}]`:                             {{"", "", "a"}},
	} {
		if got, _ := recordingOf(members); !reflect.DeepEqual(got.Files, want) {
			t.Errorf("Decode(%.100s) has files %q; want %q", members, got.Files, want)
		}
	}
}

// TestFilesAreBounded keeps the first of many files, and says so.
func TestFilesAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, `,{"url":"%03d%s"}`, i, strings.Repeat("x", 4<<10))
	}
	got, problems := recordingOf(`"downloadUrl":[` + b.String()[1:] + `]`)
	if n := len(got.Files); n != filesBytes/(4<<10+3) || !strings.HasPrefix(got.Files[n-1].URL, fmt.Sprintf("%03d", n-1)) {
		t.Errorf("%d files; want the first %d", n, filesBytes/(4<<10+3))
	}
	if want := []string{"recording.downloadUrl"}; !reflect.DeepEqual(problems, want) {
		t.Errorf("Problems = %q; want %q", problems, want)
	}
}
