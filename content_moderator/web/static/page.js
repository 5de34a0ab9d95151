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

// Marks the words that speak for the first reason, the more strongly the more they weigh.
function showExplanation(verdict, sent) {
  const [explanation] = verdict.explanation || [];
  byId("explained").hidden = !verdict.flagged || !explanation;
  if (byId("explained").hidden) return;
  const heaviest = Math.max(...explanation.words.map((word) => word.weight));
  const points = Array.from(sent);
  const parts = [];
  let done = 0;
  for (const { begin, end, weight } of explanation.words) {
    const share = weight / heaviest;
    if (share < 0.1 || begin < done) continue;
    const mark = element("mark", points.slice(begin, end).join(""));
    mark.style.setProperty("--share", share.toFixed(2));
    mark.title = `adds ${weight.toFixed(1)} to the log-odds of ${verdict.reasons[0].category}`;
    parts.push(points.slice(done, begin).join(""), mark);
    done = end;
  }
  byId("explained").replaceChildren(...parts, points.slice(done).join(""));
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
  const sent = text.value;
  try {
    const response = await fetch(form.action, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ text: sent, explain: true }),
    });
    const body = await response.json();
    if (!response.ok) return showError(describe(body));
    showVerdict(body, performance.now() - started);
    showExplanation(body, sent);
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
