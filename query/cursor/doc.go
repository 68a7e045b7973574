// Package cursor says where an item stands in a list, and where a page ends.
//
//	item ──▶ Place (sort value, id) ──Encode──▶ nextCursor ──client──▶ Decode ──▶ the next page begins after it
//
// A page that goes on from a [Place] neither repeats nor leaves out an item whose
// sort value stayed the same, whatever came or went in between.
package cursor
