// Asks a server by the types that openapi-typescript generates beside it. The
// first argument is the server's address, the second one a session.
import createClient from "openapi-fetch";
import type { paths } from "./openapi.js";

declare const process: { argv: string[] };

const [server, session] = process.argv.slice(2) as [string, string];
const client = createClient<paths>({ baseUrl: server });

const list = await client.GET("/v1/sessions");
if (!list.data) throw new Error(`list sessions: ${list.error.detail}`);
const seconds: number | null | undefined = list.data.items[0]?.durationSeconds;

const usage = await client.GET("/v1/usage", { params: { query: { from: "2026-01-01", groupBy: ["month", "meeting"] } } });
if (!usage.data) throw new Error(`list usage: ${usage.error.detail}`);

const none = await client.GET("/v1/sessions/{sessionId}", { params: { path: { sessionId: "none" } } });

const people = await client.GET("/v1/sessions/{sessionId}/participants", { params: { path: { sessionId: session } } });
if (!people.data) throw new Error(`list participants: ${people.error.detail}`);

console.log(seconds, usage.data.items[0]?.participantSeconds, people.data.items[0]?.participantId, none.error?.status);
