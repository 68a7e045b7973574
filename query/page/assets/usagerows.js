// Rows of usage as a table: what a row is for, then its numbers: minutes, with
// h:mm:ss below. Usage and closings draw the same.

import { after, dayIn, daysFrom } from "./days.js";
import { h } from "./dom.js";
import { count, duration, millis } from "./format.js";
import { figure, ident, text, when } from "./ui.js";

export const PERIODS = [["day", "Day"], ["week", "Week"], ["month", "Month"]];

// minutes are written with one decimal.
const minutes = (seconds) => count(Math.round(seconds / 6) / 10);

const time = (seconds) => [minutes(seconds), h("span", { class: "sub" }, duration(seconds))];

// rowKey tells rows apart.
export const rowKey = (r) => JSON.stringify([r.day, r.week, r.month, r.organizerId, r.organizerName, r.meetingId]);

// PEAK is the one number that is no sum.
export const PEAK = "peakParticipants";

// MEASURES are the numbers of usage: their names, what they are called and how a sum of
// them is written.
export const MEASURES = [["sessions", "Sessions", count], ["participantSeconds", "Participant minutes", minutes], ["attendedSeconds", "Attended minutes", minutes],
  ["recordingSeconds", "Recording minutes", minutes], [PEAK, "Peak", count]];

// usageFigures are sums as figures, those that there are.
export const usageFigures = (sums) => MEASURES.filter(([id]) => id in sums).map(([id, label, show]) => figure(label, show(sums[id])));

const numbers = MEASURES.map(([id, label, show]) => ({ id, label, num: true, sort: (r) => r[id], cell: (r) => (show === minutes ? time(r[id]) : show(r[id])) }));

const organizer = { id: "organizer", label: "Organizer", sort: (r) => (r.organizerName ?? r.organizerId ?? "").toLowerCase(),
  cell: (r) => [text(r.organizerName ?? r.organizerId, "no organizer", 60), r.organizerName && r.organizerId ? h("span", { class: "sub" }, ident(r.organizerId)) : null] };

// revised is since when a row's numbers are what they are. It stands out where a
// record that came a day or more after the row's end changed them.
function revised(r, { timezone, to }) {
  if (!r.revisedAt) return when(null);
  const ends = [r.day ?? r.week ?? r.month].filter(Boolean).map(after).concat(to ?? []).sort()[0];
  const late = ends && dayIn(timezone, millis(r.revisedAt)) >= daysFrom(ends, 1);
  return late ? h("span", { class: "late", title: "a record that came a day or more after the end changed these numbers" }, "▲ late: ", when(r.revisedAt)) : when(r.revisedAt);
}

// usageColumns are those of rows that are grouped by some of day, week, month,
// organizer and meeting, in days up to `to` of a time zone. only(id) chooses a meeting.
export function usageColumns({ groups, timezone, to, only }) {
  const meeting = { id: "meeting", label: "Meeting", sort: (r) => r.meetingId ?? "",
    cell: (r) => [ident(r.meetingId), r.meetingId && only ? h("button", { type: "button", class: "quiet only", onclick: () => only(r.meetingId) }, "only this") : null] };
  return [
    ...PERIODS.filter(([id]) => groups.includes(id)).map(([id, label]) => ({ id, label, sort: (r) => r[id], cell: (r) => h("span", { class: "nowrap" }, r[id]) })),
    groups.includes("organizer") ? organizer : null, groups.includes("meeting") ? meeting : null,
    ...numbers,
    { id: "revisedAt", label: "Last revised", sort: (r) => r.revisedAt, cell: (r) => revised(r, { timezone, to }) },
  ].filter(Boolean);
}
