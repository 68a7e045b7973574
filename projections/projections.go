package projections

import "rollcall/eventlog"

// View is a view, declared once: all that stores, lists or describes its
// documents follows from here.
type View struct {
	// Fold makes the view; the view has its name. It holds no state itself and may
	// be shared.
	Fold eventlog.Fold
	// Document is an empty document, of the type that [Parse] reads.
	Document Document
	// Fields are the members of a document, in the order of its JSON.
	Fields []Field
}

// Views returns the views.
func Views() []View {
	return []View{
		view(sessionFold{}, sessionMembers),
		view(attendanceFold{}, participantMembers),
		view(recordingFold{}, recordingMembers),
		view(livestreamFold{}, livestreamMembers),
		view(artifactFold{}, artifactsMembers),
		view(usageFold{}, usageSessionMembers),
	}
}

func view[D Document](fold eventlog.Fold, members layout[D]) View {
	var empty D
	return View{Fold: fold, Document: empty, Fields: members.fields()}
}

// All returns the folds of the views.
func All() []eventlog.Fold {
	var folds []eventlog.Fold
	for _, v := range Views() {
		folds = append(folds, v.Fold)
	}
	return folds
}
