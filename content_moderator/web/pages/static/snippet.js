// Code that asks what the page asked.

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// JSON is a literal of both languages, but for two characters that JavaScript's older strings do not take.
const literal = (value) => JSON.stringify(value).replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");

const given = (texts) => literal(texts.length > 1 ? texts : texts[0]);

const keyOf = (locked) => (locked ? "YOUR_KEY" : "none");

export const snippets = {
  curl: (base, texts, locked) => {
    const [path, body] = texts.length > 1 ? ["classify/batch", { texts }] : ["classify", { text: texts[0] }];
    const key = locked ? " -H 'Authorization: Bearer YOUR_KEY'" : "";
    return `curl -s ${base}${path} -H 'Content-Type: application/json'${key} \\\n  -d ${quoted(JSON.stringify(body))}`;
  },
  python: (base, texts, locked) => `from openai import OpenAI

client = OpenAI(base_url="${base}v1", api_key="${keyOf(locked)}")
answer = client.moderations.create(input=${given(texts)})
for result in answer.results:
    print(result.flagged, result.category_scores)`,
  javascript: (base, texts, locked) => `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${base}v1", apiKey: "${keyOf(locked)}" });
const answer = await client.moderations.create({ input: ${given(texts)} });
for (const { flagged, category_scores } of answer.results) console.log(flagged, category_scores);`,
};
