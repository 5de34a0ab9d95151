// Uses the service by the npm package perspective-api-client and prints what it saw.
"use strict";

const axios = require("axios");
const Perspective = require("perspective-api-client");

const [url] = process.argv.slice(2);
// The package has Google's address in its code: the one thing that must be told.
axios.interceptors.request.use((config) => ({ ...config, url: `${url}/v1alpha1/comments:analyze` }));

async function analyze() {
  const client = new Perspective({ apiKey: "AIza-made-up" });
  const answer = await client.analyze("You are such a <b>pathetic</b> idiot.", { attributes: ["toxicity", "insult"] });
  const refused = await client.analyze("one", { attributes: ["flirtation"] }).catch((error) => ({
    name: error.name,
    message: error.message,
    status: error.response.status,
  }));
  return { answer, refused };
}

analyze().then((seen) => console.log(JSON.stringify(seen)));
