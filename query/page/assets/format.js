// Texts for people: times, durations, sizes, and hostile texts made harmless to
// read. Nothing here touches the document.

const two = (n) => String(n).padStart(2, "0");

// duration writes seconds as h:mm:ss, rounded as in spreadsheets and the commands'
// tables; null is a dash.
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

// remaining writes how long until something expires.
export function remaining(seconds) {
  if (seconds <= 0) return `expired ${ago(-seconds)}`;
  if (seconds >= 172800) return `expires in ${Math.floor(seconds / 86400)} days`;
  return `expires in ${duration(seconds)}`;
}

// ago writes an age in one unit.
export function ago(seconds) {
  if (seconds < 60) return `${Math.floor(Math.max(0, seconds))} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

export function millis(iso) {
  const ms = iso ? Date.parse(iso) : NaN;
  return Number.isNaN(ms) ? null : ms;
}

const clockTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const calendarDay = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });

// local writes a time in the reader's zone; today's without the day. Where there is
// little room its line breaks after the day, and nowhere else.
export function local(ms) {
  const t = new Date(ms);
  const time = clockTime.format(t);
  return t.toDateString() === new Date().toDateString() ? time : `${calendarDay.format(t).replaceAll(" ", "\u00a0")}, ${time}`;
}

// day writes a time's day, without the year.
const shortDay = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
export const day = (ms) => shortDay.format(new Date(ms));

export function clock(ms) {
  return clockTime.format(new Date(ms));
}

const plain = new Intl.NumberFormat();

export function count(n) {
  return n === null || n === undefined ? "–" : plain.format(n);
}

export function percent(ratio) {
  return ratio === null || ratio === undefined ? "–" : `${Math.round(ratio * 1000) / 10} %`;
}

export function bytes(n) {
  if (n === null || n === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return `${i === 0 ? n : n.toFixed(1)} ${units[i]}`;
}

// Characters that a reader can't see or that turn a line's direction: controls,
// format characters (bidi marks, zero width, tags), line separators, lone
// surrogates, private use, Hangul and Braille blanks, and marks stacked on marks.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\u115F\u1160\u2800\u3164\uFFA0\u034F\u180B-\u180F]|(?<=\p{M}{3})\p{M}/gu;
// A joiner inside an emoji is what makes it one.
const JOINED = /^\u200D$/u;

// visible cuts a text into runs: {text} as it is, {code} for a character shown
// by its code point. Long texts end after max characters.
export function visible(text, max = 200) {
  const whole = String(text);
  const s = whole.length > max ? whole.slice(0, max) : whole;
  const runs = [];
  let from = 0;
  for (const m of s.matchAll(HIDDEN)) {
    const after = s.slice(m.index + m[0].length);
    if (JOINED.test(m[0]) && /\p{Extended_Pictographic}[\uFE0F\p{Emoji_Modifier}]?$/u.test(s.slice(Math.max(0, m.index - 6), m.index)) && /^\p{Extended_Pictographic}/u.test(after)) continue;
    if (m.index > from) runs.push({ text: s.slice(from, m.index) });
    runs.push({ code: `U+${m[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}` });
    from = m.index + m[0].length;
  }
  if (from < s.length) runs.push({ text: s.slice(from) });
  if (whole.length > max) runs.push({ code: `… ${count(whole.length - max)} more` });
  return runs;
}

// flatText is visible for places that take no elements: titles, labels, charts.
export function flatText(text, max = 80) {
  return visible(text ?? "", max).map((r) => r.text ?? `[${r.code}]`).join("");
}
