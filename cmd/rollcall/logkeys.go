package main

// Keys of log lines.
const (
	keyPart     = "part"
	keyView     = "view"
	keyStream   = "stream"
	keyAddress  = "address"
	keyURL      = "url"
	keyTarget   = "target"
	keySource   = "source"
	keyScheme   = "scheme"
	keySequence = "sequence"
	keyElapsed  = "elapsed_ms"
)
