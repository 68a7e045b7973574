package eventlogtest

// Rounds is how many rounds of something a test runs: all, or the part that is
// enough under the race detector, where each costs several times as much. `make
// test` runs the part, `make rounds` all.
func Rounds(all, part int) int {
	if underRace {
		return part
	}
	return all
}
