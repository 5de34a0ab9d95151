// Uses the service by OpenAI's JavaScript library and prints what it saw.
"use strict";

const { OpenAI } = require("openai");

const TEXT = "you are such a pathetic idiot";

const described = (error) => ({
  class: error.constructor.name,
  status: error.status,
  code: error.code,
  param: error.param,
  type: error.type,
  request_id: error.requestID,
  message: error.message,
});

async function refused(client, input) {
  try {
    await client.moderations.create({ input });
  } catch (error) {
    return described(error);
  }
  throw new Error("it was answered");
}

async function judge(baseURL) {
  const client = new OpenAI({ baseURL, apiKey: "x" });
  const flags = async (input) => (await client.moderations.create({ input })).results.map((each) => each.flagged);
  return {
    one: await client.moderations.create({ input: TEXT, model: "omni-moderation-latest" }),
    list: await flags([TEXT, "good morning"]),
    parts: (await flags(Array(2).fill({ type: "text", text: TEXT }))).length,
    empty: await refused(client, ""),
    image: await refused(client, [{ type: "image_url", image_url: { url: "https://example.org/a.png" } }]),
  };
}

async function retry(baseURL) {
  let calls = 0;
  const counted = (...given) => {
    calls += 1;
    return fetch(...given);
  };
  const client = new OpenAI({ baseURL, apiKey: "x", maxRetries: 2, fetch: counted });
  try {
    const answer = await client.moderations.create({ input: TEXT });
    return { retries: calls - 1, flagged: answer.results[0].flagged };
  } catch (error) {
    return described(error);
  }
}

const [command, baseURL] = process.argv.slice(2);
({ judge, retry })[command](baseURL).then((seen) => console.log(JSON.stringify(seen)));
