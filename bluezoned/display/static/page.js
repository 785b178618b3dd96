"use strict";
// Asks again every five seconds. What cannot be asked for any more is not shown any more.
const LOST = {
  tone: "off",
  mark: "?",
  vi: "Màn hình không nhận được tin từ hộp.",
  en: "The display has lost the box.",
  "fresh-vi": "",
  "fresh-en": "",
};

function show(parts) {
  for (const [name, text] of Object.entries(parts)) {
    if (name === "tone") {
      document.body.dataset.tone = text;
      continue;
    }
    const element = document.getElementById(name);
    if (element.textContent !== text) element.textContent = text;
  }
}

async function look() {
  try {
    const answer = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(4000) });
    show(answer.ok ? await answer.json() : LOST);
  } catch {
    show(LOST);
  }
}

setInterval(look, 5000);
