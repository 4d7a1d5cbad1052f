/**
 * The document of the status page: one text with its style and its scripts, which needs nothing from elsewhere. Its content
 * security policy names their hashes, so that a browser runs nothing else.
 */
import { createHash } from "node:crypto";
import MODEL from "./page/model.js" with { type: "text" };
import PAGE from "./page/page.html" with { type: "text" };
import DOM from "./page/dom.js" with { type: "text" };
import PLOTS from "./page/plots.js" with { type: "text" };
import SHOW from "./page/show.js" with { type: "text" };
import STYLE from "./page/page.css" with { type: "text" };

/** The lines that import one of the scripts into another: in the document, they are one module. */
const IMPORT = /^import \{[^}]*\} from "\.\/[a-z]+\.js";\n/gm;

const SCRIPT = [MODEL, DOM, PLOTS, SHOW].map((text) => text.replaceAll(IMPORT, "")).join("\n");

/** The document. */
export const DOCUMENT: string = PAGE.replace("/* style */", () => STYLE).replace(
  "/* script */",
  () => SCRIPT,
);

/** The headers that it is sent with. */
export const DOCUMENT_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": [
    "default-src 'none'",
    `script-src ${hashOf("script")}`,
    `style-src ${hashOf("style")}`,
    "img-src data:", // the icon
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

/** Returns the source expression of the content of an element, which the document has once. */
function hashOf(name: "script" | "style"): string {
  const [, text = ""] = new RegExp(`<${name}[^>]*>([^]*)</${name}>`).exec(DOCUMENT) ?? [];
  return `'sha256-${createHash("sha256").update(text, "utf8").digest("base64")}'`;
}
