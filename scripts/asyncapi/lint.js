// Parses an AsyncAPI document with AsyncAPI's own parser, resolves its references, and prints every finding.
// Exits with 1 if the parser reports an error or a warning, or finds too few messages.
//
// usage: node lint.js DOCUMENT
import { readFile } from "node:fs/promises";
import { Parser, fromFile } from "@asyncapi/parser";

const [path] = process.argv.slice(2);
if (path === undefined) {
    console.error("usage: node lint.js DOCUMENT");
    process.exit(2);
}
const SEVERITIES = ["error", "warning", "information", "hint"];
const WARNING = 1;

const source = JSON.parse(await readFile(path, "utf8"));
const { document, diagnostics } = await fromFile(new Parser(), path).parse();
for (const { severity, code, path: place, message } of diagnostics) {
    console.error(`${SEVERITIES[severity]}: ${place.join(".")}: ${message} (${code})`);
}
if (document === undefined || diagnostics.some(({ severity }) => severity <= WARNING)) {
    process.exit(1);
}
// A reference that was not resolved has no schema.
const messages = document.components().messages().all();
const expected = Object.keys(source.components.messages).length;
for (const message of messages) {
    const payload = message.payload();
    if (payload === undefined || payload.json().$ref !== undefined || payload.type() === undefined && payload.allOf() === undefined) {
        console.error(`error: the payload of ${message.id()} is not resolved`);
        process.exit(1);
    }
}
if (messages.length !== expected || expected === 0) {
    console.error(`error: the parser found ${messages.length} of ${expected} messages`);
    process.exit(1);
}
console.log(`${messages.length} messages, ${document.channels().all().length} channels: valid`);
