"use strict";

const byId = (id) => document.getElementById(id);
const form = byId("form");
const text = byId("text");

function element(name, content, className) {
  const made = document.createElement(name);
  if (content !== undefined) made.textContent = content;
  if (className) made.className = className;
  return made;
}

function scoreRow({ label, category, score }) {
  const row = element("tr");
  const name = element("th", category);
  name.scope = "row";
  name.append(" ", element("small", label));
  const bar = element("meter");
  bar.min = 0;
  bar.max = 1;
  bar.value = score;
  bar.textContent = score.toFixed(3);
  bar.setAttribute("aria-label", category);
  const cell = element("td", undefined, "bar");
  cell.append(bar);
  row.append(name, cell, element("td", score.toFixed(3), "number"));
  return row;
}

function showVerdict(verdict, milliseconds) {
  byId("decision").textContent = verdict.decision;
  byId("decision").className = verdict.decision;
  byId("reasons").replaceChildren(...verdict.reasons.map((reason) => element("li",
    `${reason.category}: ${reason.score.toFixed(3)}, ${reason.action} from ${reason.threshold} on`)));
  byId("scores").replaceChildren(...verdict.labels.map(scoreRow));
  const { name, model, revision } = verdict.classifier;
  byId("source").textContent = `Scored by ${name} (${model}, revision ${revision.slice(0, 12)}), ` +
    `cache ${verdict.cache.status}${verdict.degraded ? ", degraded" : ""}, in ${milliseconds.toFixed(0)} ms`;
}

function showError(message) {
  byId("error").textContent = message;
  byId("error").hidden = !message;
  byId("result").hidden = Boolean(message);
}

function describe(problem) {
  const details = (problem.errors || []).map((error) => error.detail);
  return [problem.detail, ...details].join(" ");
}

async function classify() {
  const started = performance.now();
  try {
    const response = await fetch(form.action, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ text: text.value }),
    });
    const body = await response.json();
    if (!response.ok) return showError(describe(body));
    showVerdict(body, performance.now() - started);
    showError("");
  } catch {
    showError("The service did not answer.");
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  classify();
});
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
