//go:build !race

package projector_test

// someSchedules is how many TestSchedules runs unless a flag says otherwise.
const someSchedules = 300
