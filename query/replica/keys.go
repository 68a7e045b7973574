package replica

// Keys of log fields.
const (
	keyDir        = "dir"
	keyView       = "view"
	keyBucket     = "bucket"
	keyGeneration = "generation"
	keySequence   = "sequence"
	keyRows       = "rows"
	keyElapsedMS  = "elapsed_ms"
	keyDiffering  = "differing_keys"
)
