import { snippets } from "./snippet.js";
import { verdictCard } from "./verdict.js";

const byId = (id) => document.getElementById(id);
const form = byId("form");
const texts = [byId("text"), byId("second")];
const main = byId("main");
const maxChars = Number(main.dataset.maxChars);

const comparing = () => !byId("second-entry").hidden;
const shownFields = () => texts.slice(0, comparing() ? 2 : 1);
const shownTexts = () => shownFields().map((each) => each.value);

function describe(problem) {
  const details = (problem.errors || []).map((error) => error.detail);
  return [problem.detail, ...details].join(" ");
}

// The rules that decided, by classifier: where a policy's thresholds are is shown, not needed.
const rulesByVersion = new Map();

async function rulesOf({ version }, headers) {
  if (!rulesByVersion.has(version)) {
    try {
      const policy = await (await fetch(main.dataset.policy, { headers })).json();
      rulesByVersion.set(policy.version, policy.rules);
    } catch {
      return {};
    }
  }
  return rulesByVersion.get(version) || {};
}

// One text's answer, with what the page shows beside it.
async function ask(text) {
  const started = performance.now();
  const headers = { "Content-Type": "application/json" };
  // Kept nowhere but in the field.
  const key = byId("key")?.value.trim();
  if (key) headers.Authorization = `Bearer ${key}`;
  if (byId("fresh").checked) headers["Cache-Control"] = "no-cache";
  const response = await fetch(form.action, {
    method: "POST",
    headers,
    body: JSON.stringify({ text, spans: true, explain: true }),
  });
  const body = await response.json();
  if (!response.ok) throw new Error(describe(body));
  const milliseconds = performance.now() - started;
  return { text, verdict: body, rules: await rulesOf(body.policy, headers), milliseconds };
}

function show(answers) {
  byId("results").replaceChildren(...answers.map((answer) => verdictCard(answer, answers[0].verdict)));
  byId("results").hidden = false;
  byId("status").textContent = answers.map(({ verdict }) => {
    const reasons = verdict.reasons.map(({ category, score, term }) => `${category} ${term ?? score.toFixed(2)}`);
    return [verdict.decision, reasons.join(", ")].filter(Boolean).join(": ");
  }).join("; ");
  byId("code").hidden = false;
  showSnippet();
}

function showError(message) {
  byId("error").textContent = message;
  byId("error").hidden = !message;
  if (message) byId("results").hidden = true;
}

let latest = 0;

async function classify() {
  const blank = shownFields().find((each) => !each.value.trim());
  if (blank) {
    showError("Type a text first.");
    return blank.focus();
  }
  const turn = ++latest;
  byId("results").setAttribute("aria-busy", "true");
  try {
    const answers = await Promise.all(shownTexts().map(ask));
    // An answer that comes after a later question has been asked is not shown.
    if (turn !== latest) return;
    showError("");
    show(answers);
  } catch (error) {
    if (turn === latest) showError(error instanceof TypeError ? "The service did not answer." : error.message);
  } finally {
    byId("results").removeAttribute("aria-busy");
  }
}

function showSnippet() {
  const language = document.querySelector("input[name=language]:checked").value;
  byId("snippet").textContent = snippets[language](new URL(".", location.href).href, shownTexts(), Boolean(byId("key")));
}

function count(area) {
  const chars = Array.from(area.value).length;
  const place = byId(`${area.id}-count`);
  place.textContent = chars ? `${chars.toLocaleString("en")} of ${maxChars.toLocaleString("en")} characters` : "";
  place.classList.toggle("over", chars > maxChars);
}

function compare(wanted) {
  byId("second-entry").hidden = !wanted;
  byId("compare").setAttribute("aria-expanded", String(wanted));
  byId("compare").textContent = wanted ? "One text only" : "Compare two texts";
  byId("results").hidden = true;
  (wanted ? texts[1] : texts[0]).focus();
}

async function copy() {
  const button = byId("copy");
  try {
    await navigator.clipboard.writeText(byId("snippet").textContent);
    button.textContent = "Copied";
  } catch {
    // Without https there is no clipboard: the code is selected, to be copied by hand.
    getSelection().selectAllChildren(byId("snippet"));
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  classify();
});
for (const area of texts) {
  area.addEventListener("input", () => count(area));
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
}
for (const example of byId("examples").querySelectorAll("button")) {
  example.addEventListener("click", () => {
    const area = comparing() && texts[0].value ? texts[1] : texts[0];
    area.value = example.textContent;
    count(area);
    if (!comparing() || texts[1].value) form.requestSubmit();
  });
}
byId("compare").addEventListener("click", () => compare(!comparing()));
byId("code").addEventListener("change", showSnippet);
byId("copy").addEventListener("click", copy);
