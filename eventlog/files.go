package eventlog

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// filesBytes bounds the texts that are kept of a recording's files: those
	// that come first.
	filesBytes = 192 << 10
	// filesDepth bounds how deep files are looked for.
	filesDepth = 8
)

// link reads a member that is a URL or, of a track recording, its files.
func (x *parser) link(name string, url *string, files *[]File) error {
	*files = nil
	if k := x.kind(); k != '[' && k != '{' {
		return x.id(name, url)
	}
	*url = ""
	raw, err := x.value()
	if err != nil {
		return err
	}
	r := fileReader{room: filesBytes}
	if raw, err = lastNames(raw); err == nil {
		err = r.read(jsontext.NewDecoder(bytes.NewReader(raw), tolerant), "", 0)
	}
	if err != nil || len(r.files) == 0 || r.full {
		x.problem(name)
	}
	*files = r.files
	return nil
}

// fileReader collects the files in a value, in their order. The provider groups
// them by layer: [{"layer_name":L,"download_urls":{FILE_NAME:{"download_url":U}}}]
// (developers.cloudflare.com/realtime/realtimekit/recording-guide/track-recording).
// The webhook's shape is not documented, so it also takes lists of files, and
// objects with files or URLs by participant.
type fileReader struct {
	files []File
	room  int
	full  bool
}

func (r *fileReader) add(f File) {
	size := len(f.ParticipantID) + len(f.URL) + len(f.AudioURL)
	if f.URL == "" && f.AudioURL == "" || max(len(f.ParticipantID), len(f.URL), len(f.AudioURL)) > maxText {
		return
	}
	if r.full = r.full || size > r.room; r.full {
		return
	}
	r.room -= size
	r.files = append(r.files, f)
}

// read takes the files of the decoder's next value, which stands under name.
func (r *fileReader) read(dec *jsontext.Decoder, name string, depth int) error {
	kind := dec.PeekKind()
	if depth >= filesDepth || kind != '[' && kind != '{' {
		return dec.SkipValue()
	}
	if kind == '{' {
		return r.object(dec, name, depth)
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != ']' {
		if err := r.read(dec, name, depth+1); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

// The members by which a file, or a list of files, is known.
var (
	fileURLs      = []string{"url", "downloadUrl", "download_url"}
	fileAudioURLs = []string{"audioUrl", "audio_url", "audioDownloadUrl", "audio_download_url"}
	fileOwners    = []string{"participantId", "participant_id", "customParticipantId", "custom_participant_id", "userId", "user_id"}
	fileLists     = []string{"files", "downloadUrls", "download_urls", "downloadUrl", "download_url"}
	fileLayers    = []string{"layerName", "layer_name"}
)

// fileMember is a member of an object among files; text is "" where the value is
// no string.
type fileMember struct {
	name, text string
	value      jsontext.Value
}

// describes reports whether the member is one of a layer or a file: the names of
// such an object are no participants.
func (m fileMember) describes() bool {
	return slices.Contains(fileLists, m.name) || slices.Contains(fileLayers, m.name) || slices.Contains(fileOwners, m.name)
}

// object reads a file, a layer with a list of files, or files by name.
func (r *fileReader) object(dec *jsontext.Decoder, name string, depth int) error {
	members, err := fileMembers(dec)
	if err != nil {
		return err
	}
	text := func(names []string) string {
		for _, m := range members {
			if m.text != "" && slices.Contains(names, m.name) {
				return m.text
			}
		}
		return ""
	}
	if f := (File{text(fileOwners), text(fileURLs), text(fileAudioURLs)}); f.URL != "" || f.AudioURL != "" {
		f.ParticipantID = cmp.Or(f.ParticipantID, ownerOf(name))
		r.add(f)
		return nil
	}
	described := slices.ContainsFunc(members, fileMember.describes)
	for _, m := range members {
		switch {
		case described && slices.Contains(fileLists, m.name):
			err = r.read(jsontext.NewDecoder(bytes.NewReader(m.value), tolerant), name, depth+1)
		case described:
		case m.text != "":
			r.add(File{ParticipantID: ownerOf(m.name), URL: m.text})
		default:
			err = r.read(jsontext.NewDecoder(bytes.NewReader(m.value), tolerant), m.name, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fileMembers reads an object's members, in their order.
func fileMembers(dec *jsontext.Decoder) (members []fileMember, err error) {
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	for dec.PeekKind() != '}' {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		m := fileMember{name: token.String()}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		if m.value = slices.Clone(value); value.Kind() == '"' {
			text, _ := jsontext.AppendUnquote(nil, value) // an error says that bad UTF-8 was replaced
			m.text = string(text)
		}
		members = append(members, m)
	}
	_, err = dec.ReadToken()
	return members, err
}

// ownerOf is whose file a name is: the name itself, or what the provider's file
// names say: PREFIX_USER_PEER_STREAM_MEDIA_MILLISECONDS.webm. "" where prefix and
// user can't be distinguished: no id is better than a wrong one.
func ownerOf(name string) string {
	stem, ext, ok := strings.Cut(name, ".")
	parts := strings.Split(stem, "_")
	n := len(parts)
	if _, number := digits(parts[n-1]); !ok || ext == "" || n < 6 || !number {
		return name
	}
	if n > 6 && parts[0] != "default" { // the prefix where none was chosen
		return ""
	}
	return strings.Join(parts[1:n-4], "_")
}
