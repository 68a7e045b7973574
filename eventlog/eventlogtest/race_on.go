//go:build race

package eventlogtest

const underRace = true
