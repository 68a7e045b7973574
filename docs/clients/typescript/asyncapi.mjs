// Validates the AsyncAPI document that its argument names. A warning fails too.
import { readFileSync } from "node:fs";
import { DiagnosticSeverity, Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const wrong = diagnostics.filter((d) => d.severity <= DiagnosticSeverity.Warning);
for (const d of wrong) console.error(`${d.path.join(".")}: ${d.message}`);
if (!document || wrong.length > 0) process.exit(1);
