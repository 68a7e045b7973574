package traffic

import "time"

// Scene is a session that Config.Scenes stages. What it is for is in its title.
type Scene struct {
	Title, SessionID string
	// RecordingID is that of the recording that gets stuck; else empty.
	RecordingID string
}

// The scenes, by number of their session. sceneNext is the next session in the
// ghost's room: from then on the ghost is recognizable.
const (
	sceneLate = iota
	sceneGhost
	sceneStuck
	sceneNext
	scenes
)

var sceneTitles = [scenes]string{"Somebody leaves late", "Ghost meeting", "Recording that gets stuck", "Ghost meeting"}

// Scenes are the sessions that New(c) stages, in this order: somebody who leaves
// after the end, a ghost, a recording that gets stuck, and the next session in the ghost's
// room, which begins a median length later.
func Scenes(c Config) []Scene {
	c = c.withDefaults()
	w := newWorld(c)
	all := make([]Scene, scenes)
	for n := range all {
		s := w.scene(n, c.Start)
		all[n] = Scene{Title: s.room.title, SessionID: s.id}
		if n == sceneStuck {
			all[n].RecordingID = s.stuckID()
		}
	}
	return all
}

// scene is the plan of a staged session: RealtimeKit's payloads, which say most.
func (w *world) scene(n int, start time.Time) *session {
	s := w.plan(n, start)
	s.gen, s.end = RTK, start.Add(w.c.MedianLength/2)
	s.webhook = newDraw(w.c.Seed, uint64(RTK)).uuid()
	in := n
	if n == sceneNext {
		in = sceneGhost
		s.start = s.start.Add(w.c.MedianLength)
		s.end = s.start.Add(3 * w.c.MedianLength)
	}
	// A room that no other session meets in: the ghost is one once its room meets again, not before.
	s.room.title, s.room.id = sceneTitles[n], newDraw(w.c.Seed, uint64(in)<<8|5).uuid()
	return s
}

func (s *session) stuckID() string { return newDraw(s.c.Seed, uint64(s.n)<<8|4).uuid() }

// stage plays a scene. Nothing of it is lost, late or sent twice by chance.
func (w *world) stage(n int, start time.Time) []Delivery {
	s := w.scene(n, start)
	s.neverEnds = n == sceneGhost
	s.frame()
	for i, name := range []string{"Guest 1", "Guest 2", "Guest 3"} {
		joined := s.start.Add(time.Duration(i+1) * 20 * s.unit())
		c := &connection{peer: s.uuid(), person: &person{customID: "scene-" + itoa(i+1)}, name: name, joined: joined, left: s.end}
		s.send(c.joined, s.joinedBody(c))
		switch {
		case s.neverEnds:
		case n == sceneLate && i == 0:
			c.left = s.end.Add(100 * s.unit())
			s.send(s.end.Add(150*s.unit()), s.leftBody(c))
		default:
			s.send(c.left, s.leftBody(c))
		}
	}
	if n == sceneStuck {
		r := &recording{id: s.stuckID(), meetingID: s.room.id, file: s.room.id + ".mp4", invoked: s.start.Add(50 * s.unit()), started: s.start.Add(60 * s.unit()), stopped: s.end}
		s.send(r.invoked, s.recordingBody(r, "INVOKED"))
		s.send(r.started, s.recordingBody(r, "RECORDING"))
		s.send(r.stopped, s.recordingBody(r, "UPLOADING"))
	}
	return s.inOrder()
}
