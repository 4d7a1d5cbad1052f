/** The document of the status page: it needs nothing from elsewhere, and its policy lets a browser run nothing else. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { DOCUMENT, DOCUMENT_HEADERS } from "../../../../lib/server/status_page/document.ts";

const POLICY = DOCUMENT_HEADERS["content-security-policy"] ?? "";

/** Returns the contents of the elements of a name. */
function contentsOf(name: string): readonly string[] {
  return [...DOCUMENT.matchAll(new RegExp(`<${name}[^>]*>([^]*?)</${name}>`, "g"))].map(([, text = ""]) =>
    text
  );
}

Deno.test("status page: the policy allows one script and one style, which are those of the document", () => {
  for (const [name, directive] of [["script", "script-src"], ["style", "style-src"]] as const) {
    const contents = contentsOf(name);
    assertEquals(contents.length, 1, name);
    const hashes = contents.map((text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`);
    assert(POLICY.split("; ").includes(`${directive} ${hashes.join(" ")}`), POLICY);
  }
  for (const directive of ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"]) {
    assert(POLICY.split("; ").includes(directive), directive);
  }
  assert(!/unsafe|\*|https?:/.test(POLICY), POLICY);
});

Deno.test("status page: the document names no other site, and has neither inline handlers nor inline styles", () => {
  // The names of XML are no addresses that anything asks.
  const urls = DOCUMENT.match(/(?:https?:)?\/\/[a-z0-9-]+\.[a-z][^\s"'`]*/gi) ?? [];
  assertEquals(urls.filter((url) => url !== "http://www.w3.org/2000/svg"), []);
  const [markup = ""] = DOCUMENT.split("<script");
  for (const [tag] of markup.matchAll(/<[a-z][^>]*>/gi)) {
    assert(!/\s(?:on[a-z]+|style|src)\s*=/i.test(tag), tag);
  }
});

Deno.test("status page: the script makes text of everything that nodes report", () => {
  const [script = ""] = contentsOf("script");
  for (
    const name of ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval", "DOMParser"]
  ) {
    assert(!script.includes(name), name);
  }
});

Deno.test("status page: the script is one module, which begins to run", async () => {
  const [script = ""] = contentsOf("script");
  assert(!/^import /m.test(script), "its parts are in one text");
  // It is valid, and fails at the document, which is not here.
  const url = `data:text/javascript,${encodeURIComponent(script)}`;
  const { message } = await assertRejects(() => import(url), ReferenceError);
  assertEquals(message, "document is not defined");
});
