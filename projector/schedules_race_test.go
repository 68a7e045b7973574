//go:build race

package projector_test

// someSchedules is how many TestSchedules runs unless a flag says otherwise:
// under the race detector each takes several times as long, and `make rounds`
// runs many more without it.
const someSchedules = 60
