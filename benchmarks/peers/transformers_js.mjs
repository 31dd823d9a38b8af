// Tokens and logits of texts, given as JSON on standard input.
//
//     node transformers_js.mjs FOLDER_OF_BUNDLES BUNDLE q8|q4

import { readFileSync } from "node:fs";
import {
  AutoModelForSequenceClassification,
  AutoTokenizer,
  env,
} from "@huggingface/transformers";

const [folder, bundle, dtype] = process.argv.slice(2);
env.allowRemoteModels = false;
env.localModelPath = folder;

const tokenizer = await AutoTokenizer.from_pretrained(bundle);
const model = await AutoModelForSequenceClassification.from_pretrained(bundle, { dtype });
const answers = [];
for (const text of JSON.parse(readFileSync(0, "utf8"))) {
  const tokens = tokenizer(text, { truncation: true });
  const { logits } = await model(tokens);
  answers.push({ ids: Array.from(tokens.input_ids.data, Number), logits: Array.from(logits.data) });
}
console.log(JSON.stringify(answers));
