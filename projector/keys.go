package projector

// Log keys, with units in their names.
const (
	keyView       = "view"
	keyBucket     = "bucket"
	keyGeneration = "generation"
	keySequence   = "sequence"
	keyHead       = "head_sequence"
	keyEpoch      = "epoch"
	keyHolder     = "holder"
	keyRetryMS    = "retry_ms"
	keyElapsedMS  = "elapsed_ms"
	keyEntity     = "entity"
)
