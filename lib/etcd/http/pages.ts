/** The pages that etcd serves beside its API: `/version`, `/health`, `/livez`, `/readyz` and `/metrics`. */
import { CORS_HEADERS } from "../gateway/answers.ts";
import type { WebRequest } from "../../web/mod.ts";
import type { ServedNode } from "../context.ts";
import { type Check, CHECKS, healthProblem, problemOf } from "../health.ts";
import { ETCD_VERSION } from "../version.ts";
import { METRICS_TYPE, metricsText } from "./metrics_page.ts";

const JSON_TYPE = "application/json";
const TEXT_TYPE = "text/plain; charset=utf-8";
/** The checks below each page of checks. */
const CHECKS_OF: Readonly<Record<string, readonly Check[]>> = {
  "/livez": ["serializable_read"],
  "/readyz": CHECKS,
};

interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** Answers a request of a page; one of another path is not found. */
export async function answerPage(request: WebRequest, node: ServedNode): Promise<void> {
  const { path } = request;
  const page = path === "/metrics" ? await metricsPage(node) : await pageOf(request, node);
  if (page === null) return void answer(request, text(404, "404 page not found\n"));
  if (path !== "/metrics" && request.method !== "GET") {
    return void answer(request, text(405, "Method Not Allowed\n"));
  }
  answer(request, page);
}

function answer(request: WebRequest, { status, type, body }: Page): void {
  const allow = status === 405 ? { allow: "GET" } : {};
  const headers = { ...CORS_HEADERS, ...allow, "content-type": type, "x-content-type-options": "nosniff" };
  void request.respond({ status, headers, body });
}

function text(status: number, body: string): Page {
  return { status, type: TEXT_TYPE, body };
}

/** Resolves to the page of a path; to null without one. */
async function pageOf({ path, query }: WebRequest, node: ServedNode): Promise<Page | null> {
  const parameters = new URLSearchParams(query);
  const excluded = parameters.getAll("exclude");
  if (path === "/version") return versionPage();
  if (path === "/health") {
    const isSerializable = parameters.get("serializable") === "true";
    const reason = await healthProblem(node, { isSerializable, excluded });
    const body = JSON.stringify({ health: reason === null ? "true" : "false", reason: reason ?? "" });
    return text(reason === null ? 200 : 503, reason === null ? body : `${body}\n`);
  }
  const [, root = "", name] = /^(\/[a-z]+)(?:\/([a-z_]+))?$/.exec(path) ?? [];
  const checks = CHECKS_OF[root];
  if (checks === undefined) return null;
  const asked = checks.filter((check) => name === undefined ? !excluded.includes(check) : check === name);
  if (name !== undefined && asked.length === 0) return null;
  return await checksPage(node, { asked, isVerbose: parameters.has("verbose") });
}

function versionPage(): Page {
  const versions = { etcdserver: ETCD_VERSION, etcdcluster: ETCD_VERSION, storage: ETCD_VERSION };
  return { status: 200, type: JSON_TYPE, body: JSON.stringify(versions) };
}

/** Resolves to `ok`, with a line a check where one fails or the client wants it. */
async function checksPage(
  node: ServedNode,
  { asked, isVerbose }: {
    readonly asked: readonly Check[];
    readonly isVerbose: boolean;
  },
): Promise<Page> {
  let lines = "";
  let hasFailed = false;
  for (const check of asked) {
    const problem = await problemOf(check, node);
    hasFailed ||= problem !== null;
    lines += problem === null ? `[+]${check} ok\n` : `[-]${check} failed: ${problem}\n`;
  }
  if (hasFailed) return text(503, `${lines}\n`);
  return text(200, `${isVerbose ? lines : ""}ok\n`);
}

async function metricsPage(node: ServedNode): Promise<Page> {
  return { status: 200, type: METRICS_TYPE, body: await metricsText(node) };
}
