// What the service said of one text, as a card.

function element(name, content, className) {
  const made = document.createElement(name);
  if (content !== undefined) made.textContent = content;
  if (className) made.className = className;
  return made;
}

const capital = (word) => word[0].toUpperCase() + word.slice(1);

// A bar with a mark at each threshold of its label.
function bar(score, rule) {
  const made = element("div", undefined, "bar");
  const said = [score.toFixed(3)];
  const fill = element("div", undefined, "fill");
  fill.style.setProperty("--share", score);
  made.append(fill);
  for (const action of ["review", "block"]) {
    if (rule?.[action] == null) continue;
    const mark = element("div", undefined, `mark ${action}`);
    mark.style.setProperty("--share", rule[action]);
    mark.title = `${action} from ${rule[action]}`;
    made.append(mark);
    said.push(`${action} from ${rule[action]}`);
    if (score >= rule[action]) fill.classList.add(action);
  }
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", said.join(", "));
  return made;
}

// The number, and how far it is from the first text's if that is worth a look.
function numberCell(score, before) {
  const cell = element("td", score.toFixed(3), "number");
  const difference = score - before;
  if (Math.abs(difference) >= 0.05) {
    const sign = difference > 0 ? "+" : "\u2212";
    cell.append(" ", element("small", `${sign}${Math.abs(difference).toFixed(2)}`));
  }
  return cell;
}

function scoreRow({ label, category, score }, rule, before) {
  const row = element("tr");
  const name = element("th", category);
  name.scope = "row";
  name.append(" ", element("small", label));
  const cell = element("td");
  cell.append(bar(score, rule));
  row.append(name, cell, numberCell(score, before));
  return row;
}

const scoreOf = (labels, label) => {
  const found = labels.find((each) => each.label === label);
  return label === "ANY" ? 1 - scoreOf(labels, "OK") : found.score;
};

const highest = (spans, score) => spans.reduce((best, span) => (score(span) > score(best) ? span : best));

const isScore = (reason) => reason.rule === "score";

// The sentence with the highest score of what the whole text was stopped for; or, if the whole was let
// through, one that would not have been by itself.
function triggering({ reasons, spans = [] }) {
  if (spans.length < 2) return null;
  const reason = reasons.find(isScore);
  if (!reason && reasons.length) {
    if (reasons[0].rule !== "term") return null;
    const span = spans.find((each) => each.reasons.some(({ term }) => term === reasons[0].term));
    return span ? { ...span, said: `The underlined sentence has the term \u201c${reasons[0].term}\u201d` } : null;
  }
  if (reason) {
    const score = (span) => scoreOf(span.labels, reason.label);
    const span = highest(spans, score);
    return { ...span, said: `The underlined sentence alone: ${reason.category} ${score(span).toFixed(3)}` };
  }
  const stopped = spans.filter((span) => span.reasons.length);
  if (!stopped.length) return null;
  const span = highest(stopped, (each) => each.reasons[0].score);
  const { category, score } = span.reasons[0];
  return { ...span, said: `Alone, the underlined sentence would be for ${span.decision}: ${category} ${score.toFixed(3)}` };
}

// The text with the triggering sentence marked, and in it the words that weighed.
function passage(text, verdict, sentence) {
  const points = Array.from(text);
  const said = (begin, end) => points.slice(begin, end).join("");
  const scored = verdict.reasons.find(isScore);
  const explained = (scored && verdict.explanation?.[0]?.words) || [];
  const heaviest = Math.max(...explained.map((word) => word.weight), 0);
  const words = explained.filter((word) => word.weight > 0 && word.weight >= 0.2 * heaviest);
  const marked = (begin, end) => {
    const parts = [];
    let done = begin;
    for (const word of words) {
      if (word.begin < done || word.end > end) continue;
      const mark = element("mark", said(word.begin, word.end));
      mark.style.setProperty("--share", (word.weight / heaviest).toFixed(2));
      mark.title = `adds ${word.weight.toFixed(1)} to the log-odds of ${scored.category}`;
      parts.push(said(done, word.begin), mark);
      done = word.end;
    }
    return [...parts, said(done, end)];
  };
  if (!sentence) return marked(0, points.length);
  const strong = element("strong", undefined, "sentence");
  strong.append(...marked(sentence.begin, sentence.end));
  return [...marked(0, sentence.begin), strong, ...marked(sentence.end, points.length)];
}

const cacheWords = ({ status, distance }) =>
  ({ miss: "not from memory", exact: "from memory" })[status] ?? `from memory: a text ${distance} edits away`;

const because = (reason) => ({
  score: () => `${reason.category}: ${reason.score.toFixed(3)}, ${reason.action} from ${reason.threshold} on`,
  term: () => `term \u201c${reason.term}\u201d: ${reason.action}`,
  language: () => `language not judged: ${reason.action}`,
})[reason.rule]();

// The name of a language in English, as far as the browser knows it.
function languageWords({ code, certain, judged }) {
  const name = code === "und" ? "not known" : new Intl.DisplayNames(["en"], { type: "language" }).of(code);
  return `Language: ${name}${certain ? "" : " (not certain)"}, ${judged ? "judged" : "not judged"}`;
}

// By how much the sentence encoder moved what was explained.
function secondOpinion(explanation) {
  const moved = explanation?.[0]?.second_opinion;
  if (!moved) return "";
  return `; the second opinion moved it by ${moved > 0 ? "+" : "\u2212"}${Math.abs(moved).toFixed(1)} in log-odds`;
}

// Makes the card; the labels stand in the order that the first text's have, with what differs from them.
export function verdictCard({ text, verdict, rules: ruleSets, milliseconds }, first) {
  const card = document.getElementById("verdict").content.cloneNode(true).firstElementChild;
  const part = (selector) => card.querySelector(selector);
  part(".decision").textContent = capital(verdict.decision);
  part(".decision").classList.add(verdict.decision);
  part(".degraded").hidden = !verdict.degraded;
  part(".cache").textContent = cacheWords(verdict.cache);
  part(".reasons").append(...verdict.reasons.map((reason) => element("li", because(reason))));
  const sentence = triggering(verdict);
  if (verdict.flagged || sentence) {
    part(".passage").append(...passage(text, verdict, sentence));
    part(".passage").hidden = false;
  }
  if (sentence) {
    part(".triggered").textContent = sentence.said;
    part(".triggered").hidden = false;
  }
  part(".language").textContent = languageWords(verdict.language) + secondOpinion(verdict.explanation);
  const rules = ruleSets[verdict.classifier.name] || {};
  const order = first.labels.map((each) => each.label);
  const labels = [...verdict.labels].sort((a, b) => order.indexOf(a.label) - order.indexOf(b.label));
  part("tbody").append(...labels.map((each) =>
    scoreRow(each, rules[each.label], scoreOf(first.labels, each.label))));
  const { name, model, revision } = verdict.classifier;
  const { policy } = verdict;
  part(".source").textContent =
    `Scored by ${name} (${model}, revision ${revision.slice(0, 12)}), decided by ` +
    `policy ${policy.name}, version ${policy.version}, answered in ${milliseconds.toFixed(0)} ms`;
  return card;
}
