// Holds the built site against what it promises: every link within it leads to a page and a
// heading that are there, nothing is loaded from elsewhere, and the search finds what there is to find.
import { createServer } from "node:http";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import path from "node:path";

const site = path.resolve(import.meta.dirname, "../../build/site");
const files = readdirSync(site, { recursive: true }).map(String);
const pages = files.filter((f) => f.endsWith(".html"));
const text = Object.fromEntries(pages.map((f) => [f, readFileSync(path.join(site, f), "utf8")]));
const ids = (page) => new Set([...text[page].matchAll(/ id="([^"]+)"/g)].map((m) => m[1]));
const problems = [];

for (const page of pages) {
  for (const [tag] of text[page].matchAll(/<(?:img|script|link|iframe|source)\b[^>]*(?:src|href)="(?:[a-z]+:)?\/\/[^>]*>/g)) problems.push(`${page} loads from elsewhere: ${tag}`);
  for (const [, to] of text[page].matchAll(/(?:href|src)="([^"]+)"/g)) {
    if (/^[a-z]+:/.test(to)) continue;
    const [file, fragment] = to.replaceAll("&amp;", "&").split("#");
    const target = file ? path.posix.join(path.posix.dirname(page), decodeURIComponent(file)) : page;
    if (!existsSync(path.join(site, target)) || statSync(path.join(site, target)).isDirectory()) problems.push(`${page} links to ${to}: there is no ${target}`);
    else if (fragment && target.endsWith(".html") && !ids(target).has(decodeURIComponent(fragment))) problems.push(`${page} links to ${to}: ${target} has no such heading`);
  }
}

// The search runs as in a browser, against a server that has the folder and nothing else.
const server = createServer((request, response) => {
  const file = path.join(site, decodeURIComponent(new URL(request.url, "http://x").pathname));
  if (!file.startsWith(site) || !existsSync(file)) return response.writeHead(404).end();
  response.end(readFileSync(file));
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const search = await import(path.join(site, "pagefind/pagefind.js"));
await search.options({ basePath: `http://127.0.0.1:${server.address().port}/pagefind/`, baseUrl: "/" });
for (const [words, want] of [["promote", "operations.html"], ["MemoryDenyWriteExecute", "operations.html"], ["quickjs", "authoring/javascript.html"]]) {
  const found = await search.search(words);
  const addresses = await Promise.all(found.results.map(async (r) => (await r.data()).url));
  if (!addresses.some((a) => a.endsWith(want))) problems.push(`searching for ${words} finds ${addresses.join(", ") || "nothing"}, and not ${want}`);
}
server.close();

for (const p of problems) console.error(p);
console.log(`${pages.length} pages, ${problems.length} problems`);
process.exit(problems.length ? 1 : 0);
