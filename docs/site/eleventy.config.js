// docs/*.md and what stands beside README.md, as pages: the same files that are read on a code
// host, with the same links. Pages are named by pages.js, in the order of the navigation.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import anchors from "markdown-it-anchor";
import GithubSlugger from "github-slugger";
import chapters from "./pages.js";

const root = path.resolve(import.meta.dirname, "../..");
const source = "blob/main/"; // where a code host shows files, below REPOSITORY
const repository = process.env.REPOSITORY ?? ""; // URL of the repository; without it links to code are text

const pages = chapters.flatMap((c) => c.pages);
const address = (file) => (file === "README.md" ? "index.html" : file.replace(/^docs\//, "").replace(/\.md$/, ".html").toLowerCase());

export default function (config) {
  config.addPassthroughCopy({ [path.join(import.meta.dirname, "site.css")]: "site.css" });
  config.addPassthroughCopy({ [path.join(import.meta.dirname, "search.js")]: "search.js" });
  config.addPassthroughCopy({ [path.join(root, "docs/performance-growth.svg")]: "performance-growth.svg" });
  if (existsSync(path.join(root, "docs/images"))) config.addPassthroughCopy({ [path.join(root, "docs/images")]: "images" });

  config.amendLibrary("md", (md) => {
    md.set({ html: true, linkify: false, typographer: false });
    // Headings have the anchors that a code host gives them.
    let slugger;
    md.core.ruler.before("normalize", "slugs", () => { slugger = new GithubSlugger(); });
    md.use(anchors, { slugify: (s) => slugger.slug(s), permalink: anchors.permalink.headerLink({ safariReaderFix: true }), level: [1, 2, 3, 4] });
    const open = md.renderer.rules.link_open ?? ((tokens, i, options, _, self) => self.renderToken(tokens, i, options));
    md.renderer.rules.link_open = (tokens, i, options, env, self) => {
      const href = link(env.file, tokens[i].attrGet("href"));
      if (href) tokens[i].attrSet("href", href);
      else tokens[i].attrs = [["title", tokens[i].attrGet("href") + ", in the repository"]];
      return open(tokens, i, options, env, self);
    };
    // Pictures are copied beside the pages.
    const image = md.renderer.rules.image;
    md.renderer.rules.image = (tokens, i, options, env, self) => {
      tokens[i].attrSet("src", link(env.file, tokens[i].attrGet("src")) ?? tokens[i].attrGet("src"));
      return image(tokens, i, options, env, self);
    };
  });

  for (const page of pages) {
    config.addTemplate(page.file, readFileSync(path.join(root, page.file), "utf8"), {
      layout: "page.njk", permalink: address(page.file), file: page.file, title: page.title,
      up: "../".repeat(address(page.file).split("/").length - 1), chapters: chapters.map((c) => ({ ...c, pages: c.pages.map((p) => ({ ...p, address: address(p.file) })) })),
    });
  }
  // The pages are no templates: braces in them are text.
  config.setTemplateFormats(["md"]);
  return { markdownTemplateEngine: false, dir: { input: ".", output: "../../build/site", includes: "layout" } };
}

// link is where a relative link of a page leads to on the site: to another page, to a file that is
// copied, or to the repository's code; nowhere, when nobody said where that is.
function link(from, href) {
  if (!href || href.startsWith("#") || /^[a-z]+:/.test(href)) return href;
  const [to, fragment] = href.split("#");
  const file = path.posix.join(path.posix.dirname(from), to).replace(/\/$/, "");
  const hash = fragment ? "#" + fragment : "";
  const here = path.posix.dirname(address(from));
  if (pages.some((p) => p.file === file)) return path.posix.relative(here, address(file)) + hash;
  if (/^docs\/.*\.(svg|png|gif|webp)$/.test(file)) return path.posix.relative(here, file.replace(/^docs\//, ""));
  return repository ? repository.replace(/\/$/, "") + "/" + source + file + hash : undefined;
}
