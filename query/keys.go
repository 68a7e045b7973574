package query

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
	keyRoute      = "route"
	keyStatus     = "status"
	keyKey        = "key"
)
