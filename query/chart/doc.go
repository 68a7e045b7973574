// Package chart draws documents as SVG files: a session's timeline and a usage
// chart, for `rollcall report … --output svg`. Pure functions of documents, a
// time zone and a moment: the same input gives the same bytes.
//
// The files stand alone: no script, no font, no address elsewhere, light and dark
// by the viewer's preference, a title and a description for those who can't see
// them, and patterns besides colours. Names and titles are hostile text: they are
// escaped, and characters that can't be seen are shown by their code points.
//
// The page (query/page) draws the same charts in the browser; what each shows
// follows the same rules: a leave at T is before a join at T, empty intervals
// count nothing, all is cut at the session's end.
package chart
