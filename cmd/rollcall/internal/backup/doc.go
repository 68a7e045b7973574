// Package backup is exports as files: written whole and sealed, continued, read again and
// checked, and put back into an empty log.
//
//	log ─▶ Create ─▶ FILE, FILE.sum          NDJSON, and its seal beside it
//	             └▶ FILE.zst                 the same, compressed; the seal is its last frame
//	FILE… ─▶ Records, Check ─▶ Import ─▶ an empty log ─▶ Build ─▶ views
//
// # Order
//
// A file stands for the records (after, last] of one log. The next one begins where it
// ends: same log, same sequence, same event id. Files are read in that order.
//
// # Failure
//
// A file that is cut, changed or out of its order is refused before anything is written.
// A file without a seal, as older versions wrote it, is taken as it is: only a line that
// is cut can be seen.
//
// # Why the seal is no line of the export
//
// An export is one record a line, and programs count and read its lines. A frame that
// decompressors skip, or a file beside it, changes nothing for them.
package backup
