/** Requests to the JSON gateway as a person types them with curl. */
import { assertEquals } from "@std/assert";
import { Process } from "../../support/processes/process.ts";
import { TemporaryFolder } from "../../support/temporary.ts";

/** A request and the parts of its answer that every server gives, as JSON; the answer to a GET as text. */
interface Request {
  readonly path: string;
  readonly body?: unknown;
  readonly status?: number;
  readonly answer: unknown;
}

const KEY = btoa("curl/a");

/** The requests; without the header and without numbers of revisions. */
const REQUESTS: readonly Request[] = [
  { path: "/v3/kv/put", body: { key: KEY, value: btoa("1") }, answer: {} },
  {
    path: "/v3/kv/range",
    body: { key: KEY },
    answer: { kvs: [{ key: KEY, version: "1", value: btoa("1") }], count: "1" },
  },
  {
    path: "/v3/kv/range",
    body: { key: btoa("curl/"), rangeEnd: btoa("curl0"), count_only: true },
    answer: { count: "1" },
  },
  {
    path: "/v3/kv/txn",
    body: {
      compare: [{ target: "CREATE", create_revision: "0", key: KEY }],
      success: [{ request_put: { key: KEY, value: btoa("2") } }],
      failure: [{ requestRange: { key: KEY } }],
    },
    answer: {
      responses: [{
        response_range: { kvs: [{ key: KEY, version: "1", value: btoa("1") }], count: "1" },
      }],
    },
  },
  { path: "/v3/lease/grant", body: { TTL: "60", ID: "12345" }, answer: { ID: "12345", TTL: "60" } },
  { path: "/v3/lease/keepalive", body: { ID: 12345 }, answer: { result: { ID: "12345", TTL: "60" } } },
  { path: "/v3/kv/lease/revoke", body: { ID: "12345" }, answer: {} },
  {
    path: "/v3/lease/revoke",
    body: { ID: "12345" },
    status: 404,
    answer: { code: 5, message: "etcdserver: requested lease not found" },
  },
  { path: "/v3/kv/deleterange", body: { key: KEY, unknown: 1 }, answer: { deleted: "1" } },
  {
    path: "/v3/kv/put",
    body: { value: KEY },
    status: 400,
    answer: { code: 3, message: "etcdserver: key is not provided" },
  },
  { path: "/v3/nothing", body: {}, status: 404, answer: { code: 5, message: "Not Found" } },
  { path: "/v3/kv/range", status: 501, answer: { code: 12, message: "Method Not Allowed" } },
  { path: "/health", answer: { health: "true", reason: "" } },
];

/** Sends the requests one after the other; then watches. */
export async function curlAll(address: string): Promise<void> {
  await using folder = await TemporaryFolder.make();
  const curl = (path: string, args: readonly string[]): Process =>
    Process.start("curl", ["-sS", "-N", ...args, `http://${address}${path}`], {
      cwd: folder.path,
      name: path,
    });
  for (const { path, body, status = 200, answer } of REQUESTS) {
    const data = body === undefined ? [] : ["-d", JSON.stringify(body)];
    await using process = curl(path, [...data, "-w", "\n%{http_code}"]);
    const { code, stdout, stderr } = await process.end();
    assertEquals([code, stderr], [0, ""], path);
    const lines = stdout.trimEnd().split("\n");
    assertEquals(
      [Number(lines.at(-1)), withoutNumbers(lines[0] ?? "")],
      [status, answer],
      `${path} ${stdout}`,
    );
  }
  for (const path of ["/livez", "/readyz"]) {
    await using process = curl(path, []);
    assertEquals((await process.end()).stdout, "ok\n");
  }
  await using watch = curl("/v3/watch", [
    "-d",
    JSON.stringify({ create_request: { key: KEY, start_revision: "0" } }),
  ]);
  await watch.waitForOutput(/"created":\s*true/);
  await using put = curl("/v3/kv/put", ["-d", JSON.stringify({ key: KEY, value: btoa("w") })]);
  await put.end();
  await using remove = curl("/v3/kv/deleterange", ["-d", JSON.stringify({ key: KEY })]);
  await remove.end();
  await watch.waitForOutput(/"type":\s*"DELETE"/);
  const [first = "", second = "", third = ""] = watch.printed.split("\n");
  assertEquals([first, second, third].map(withoutNumbers), [
    { result: { created: true } },
    { result: { events: [{ kv: { key: KEY, version: "1", value: btoa("w") } }] } },
    { result: { events: [{ type: "DELETE", kv: { key: KEY } }] } },
  ]);
}

/** Parses an answer and leaves out headers, revisions and `error`, which older etcds have beside `message`. */
function withoutNumbers(text: string): unknown {
  return JSON.parse(text, (name, value) => /^(header|\w+_revision|error)$/.test(name) ? undefined : value);
}
