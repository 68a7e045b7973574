//go:build !race

package eventlogtest

const underRace = false
