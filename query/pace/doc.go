// Package pace keeps readers from taking the machine: webhooks and folding come
// first, whatever is asked for.
//
//	reader ──Enter──▶ a place (one a spare core) ──work──▶ leave ──rest as long──▶ free again
//
// A read of a moment costs no rest. A longer one keeps its place empty for as long
// as it worked, so that readers together use half of the spare cores at most, and
// what they ask for above that waits.
package pace
