// Days, weeks and months as texts: 2026-01-31, 2026-W05, 2026-01.

const DAY = 86400000;
const midnight = (day) => Date.parse(`${day}T00:00:00Z`);
const iso = (ms) => new Date(ms).toISOString().slice(0, 10);

// isDay reports whether a text, as of an address, is a day.
export const isDay = (text) => /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(midnight(text));

// ownZone is the reader's time zone.
export const ownZone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";

export const daysFrom = (day, n) => iso(midnight(day) + n * DAY);

// monthFrom is the first day of the month n months after a day's.
export function monthFrom(day, n) {
  const t = new Date(midnight(day));
  return iso(Date.UTC(t.getUTCFullYear(), t.getUTCMonth() + n, 1));
}

// seconds of a day's beginning, for a chart whose axis is in UTC.
export const secondsOf = (day) => midnight(day) / 1000;

const formats = new Map();

// dayIn is the day that a time is on in a time zone.
export function dayIn(zone, ms) {
  if (!formats.has(zone)) formats.set(zone, new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" }));
  return formats.get(zone).format(ms);
}

// after is the day after a day, a week or a month.
export function after(period) {
  if (/^\d+-\d\d$/.test(period)) return monthFrom(`${period}-01`, 1);
  const [, year, week] = /^(\d+)-W(\d\d)$/.exec(period) ?? [];
  if (!week) return daysFrom(period, 1);
  const fourth = `${year}-01-04`; // it is in the first week
  const weekday = (new Date(midnight(fourth)).getUTCDay() + 6) % 7;
  return daysFrom(fourth, 7 * week - weekday);
}
