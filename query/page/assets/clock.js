// The second hand: elements with data-since count up, those with data-until
// count down, all from one timer that writes only texts that changed.

import { duration, remaining } from "./format.js";

// tick writes one element's text.
export function tick(el, now) {
  const { since, until } = el.dataset;
  const text = since !== undefined ? duration(Math.floor((now - Number(since)) / 1000)) : remaining((Number(until) - now) / 1000);
  if (el.textContent !== text) el.textContent = text;
}

// startClock ticks every second, on the second, while the page is shown.
export function startClock() {
  const all = () => {
    if (document.hidden) return;
    const now = Date.now();
    for (const el of document.querySelectorAll("[data-since],[data-until]")) tick(el, now);
  };
  const beat = () => {
    all();
    setTimeout(beat, 1000 - (Date.now() % 1000));
  };
  document.addEventListener("visibilitychange", all);
  beat();
}
