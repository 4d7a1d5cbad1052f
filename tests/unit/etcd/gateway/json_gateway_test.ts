/** Tests of the JSON gateway over sockets: requests, answers, failures, streams, and hostile bodies. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { connect } from "node:http2";
import { request } from "node:http";
import { STATUSES, withGateway } from "./gateway_scene.ts";

const HEADER_NAMES = ["content-type", "access-control-allow-origin", "access-control-allow-methods"];

Deno.test("gateway: fields have the names of the .proto files, and 64-bit integers are texts", async () => {
  await withGateway(async ({ post }) => {
    const body = {
      key: "Zm9v",
      limit: "5",
      lease: "-9223372036854775808",
      ID: "18446744073709551615",
      keys_only: true,
      sort_order: "DESCEND",
      version: "0",
    };
    const [status, text] = await post("/v3/test/echo", JSON.stringify(body));
    const { version: _absent, ...expected } = body;
    assertEquals([status, JSON.parse(text)], [200, expected]);
  });
});

Deno.test("gateway: camel case, numbers, null, unknown fields and unknown enum names are accepted", async () => {
  await withGateway(async ({ post }) => {
    const asked =
      `{"key":null,"limit":1e2,"ID":18446744073709551615,"lease":-9007199254740993,"keysOnly":true,"sortOrder":"NEW",
        "createRequest":{"new":[{}]},"other":{"deep":[1,2,{"a":"b"}]}}`;
    assertEquals(await post("/v3/test/echo", asked), [
      200,
      `{"limit":"100","lease":"-9007199254740993","ID":"18446744073709551615","keys_only":true,"create_request":{}}`,
    ]);
  });
});

Deno.test("gateway: an empty body is an empty message, and what is behind the first value is ignored", async () => {
  await withGateway(async ({ post }) => {
    assertEquals(await post("/v3/test/echo", ""), [200, "{}"]);
    assertEquals(await post("/v3/test/echo", ` {"limit":1}{"limit":2}`), [200, `{"limit":"1"}`]);
    assertEquals(await post("/v3/test/echo", `{"limit":1} garbage`), [200, `{"limit":"1"}`]);
  });
});

Deno.test("gateway: the paths of etcd 3.3 are answered too", async () => {
  await withGateway(async ({ post }) => {
    assertEquals(await post("/v3beta/test/echo", `{"limit":1}`), [200, `{"limit":"1"}`]);
  });
});

Deno.test("gateway: malformed bodies are refused with 400 and code 3", async () => {
  await withGateway(async ({ post }) => {
    const malformed = [
      "hello",
      "[]",
      "5",
      `"text"`,
      `{"key":"Zm9v"`,
      `{"key":5}`,
      `{"key":"!!"}`,
      `{"limit":1.5}`,
      `{"limit":"x"}`,
      `{"limit":"99999999999999999999"}`,
      `{"limit":9223372036854775808}`,
      `{"lease":"9223372036854775808"}`,
      `{"ID":"-1"}`,
      `{"ID":1e400}`,
      `{"keys_only":"true"}`,
      `{"keys_only":1}`,
      `{"sort_order":[]}`,
      `{"sort_order":4294967296}`,
      `{"create_request":[]}`,
      "}",
      "]]",
      "\u0000",
    ];
    for (const body of malformed) {
      const [status, text] = await post("/v3/test/echo", body);
      assertEquals([body, status], [body, 400]);
      assertMatch(text, /^\{"code":3,"message":"proto: [^"]+","error":"proto: [^"]+"\}$/);
    }
  });
});

Deno.test("gateway: a failure has the HTTP status of its code", async () => {
  await withGateway(async ({ post }) => {
    const statuses = new Map<string, number>();
    for (const [code, name] of STATUSES.entries()) {
      if (code === 0) continue;
      const [status, text] = await post("/v3/test/fail", `{"code":${code}}`);
      statuses.set(name, status);
      const message = "etcdserver: it failed";
      assertEquals(JSON.parse(text), { code, message, error: message });
    }
    assertEquals(Object.fromEntries(statuses), {
      cancelled: 499,
      unknown: 500,
      invalidArgument: 400,
      deadlineExceeded: 504,
      notFound: 404,
      alreadyExists: 409,
      permissionDenied: 403,
      resourceExhausted: 429,
      failedPrecondition: 400,
      aborted: 409,
      outOfRange: 400,
      unimplemented: 501,
      internal: 500,
      unavailable: 503,
      dataLoss: 500,
      unauthenticated: 401,
    });
  });
});

Deno.test("gateway: other methods, other paths and CORS preflights are answered as by etcd", async () => {
  await withGateway(async ({ url }) => {
    const cases = [
      [
        "GET",
        "/v3/test/echo",
        501,
        `{"code":12,"message":"Method Not Allowed","error":"Method Not Allowed"}`,
      ],
      [
        "PUT",
        "/v3/test/stream",
        501,
        `{"code":12,"message":"Method Not Allowed","error":"Method Not Allowed"}`,
      ],
      ["POST", "/v3/test/none", 404, `{"code":5,"message":"Not Found","error":"Not Found"}`],
      ["GET", "/v3/", 404, `{"code":5,"message":"Not Found","error":"Not Found"}`],
      ["POST", "/v3/test/echo/", 404, `{"code":5,"message":"Not Found","error":"Not Found"}`],
      ["OPTIONS", "/v3/test/echo", 200, ""],
    ] as const;
    for (const [method, path, status, body] of cases) {
      const response = await fetch(`${url}${path}`, { method });
      assertEquals([method, path, response.status, await response.text()], [method, path, status, body]);
      assertEquals(response.headers.get("access-control-allow-origin"), "*");
    }
    const response = await fetch(`${url}/v3/test/echo`, { method: "POST", body: "{}" });
    await response.body?.cancel();
    assertEquals(HEADER_NAMES.map((name) => response.headers.get(name)), [
      "application/json",
      "*",
      "POST, GET, OPTIONS, PUT, DELETE",
    ]);
  });
});

Deno.test("gateway: the token is the field authorization, with the scheme Bearer or without", async () => {
  await withGateway(async ({ post, tokens }) => {
    for (const authorization of ["abc.1", "Bearer abc.2", "bearer abc.3", ""]) {
      await post("/v3/test/echo", "{}", { authorization });
    }
    await post("/v3/test/echo", "{}");
    await post("/v3/test/echo", "{}", { "grpc-metadata-token": "abc.4" });
    assertEquals(tokens, ["abc.1", "abc.2", "abc.3", null, null, "abc.4"]);
  });
});

Deno.test("gateway: a message over 3 MiB, nested too deeply or of too many parts is refused", async () => {
  await withGateway(async ({ post }) => {
    const large = JSON.stringify({ key: "A".repeat(2_800_000) });
    assertEquals((await post("/v3/test/echo", large))[0], 200);
    const [status, text] = await post("/v3/test/echo", JSON.stringify({ key: "A".repeat(3_200_000) }));
    assertEquals(status, 429);
    assertStringIncludes(text, "grpc: received message larger than max (3200010 vs. 2097152)");

    const nested = (levels: number): string => `{"inner":[`.repeat(levels) + "]}".repeat(levels);
    assertEquals((await post("/v3/test/nested", nested(24)))[0], 200);
    assertEquals((await post("/v3/test/nested", nested(26)))[0], 400);
    assertEquals((await post("/v3/test/nested", nested(100_000)))[0], 400);
    assertEquals((await post("/v3/test/echo", `{"a":${"[".repeat(100_000)}`))[0], 400);
    assertEquals((await post("/v3/test/nested", `{"inner":[${"{},".repeat(30_000)}{}]}`))[0], 429);
    assertEquals((await post("/v3/test/echo", `{"a":[${'"",'.repeat(20_000)}""]}`))[0], 429);
    assertEquals((await post("/v3/test/echo", `{"a":[${"1,".repeat(30_000)}1]}`))[0], 200);
    assertEquals((await post("/v3/test/echo", `{"a":${" ".repeat(300_000)}1}`))[0], 429);
    assertEquals((await post("/v3/test/echo", `{"a":"${'\\\\"'.repeat(40_000)}"}`))[0], 429);
  });
});

Deno.test("gateway: a stream is answered line by line, and ends when the body has ended", async () => {
  await withGateway(async ({ url }) => {
    const body = `{"limit":1}{"limit":2} \n{"key":"Zm9v","x":"\\\\"}{"x":"\\"}{","lease":3}`;
    const response = await fetch(`${url}/v3/test/stream`, { method: "POST", body });
    assertEquals(response.status, 200);
    assertEquals(
      await response.text(),
      [1, 2].map((limit) => `{"result":{"limit":"${limit}"}}\n`).join("") +
        `{"result":{"key":"Zm9v"}}\n{"result":{"lease":"3"}}\n`,
    );
  });
});

Deno.test("gateway: a stream whose body stays open answers each message as it comes", async () => {
  await withGateway(async ({ url }) => {
    const client = request(`${url}/v3/test/stream`, { method: "POST" });
    const lines: AsyncIterator<string> = linesOf(client);
    for (const part of [`{"li`, `mit":1}`]) client.write(part);
    assertEquals((await lines.next()).value, `{"result":{"limit":"1"}}`);
    client.write(`{"limit":2} {"limit"`);
    assertEquals((await lines.next()).value, `{"result":{"limit":"2"}}`);
    client.end(":3}");
    assertEquals((await lines.next()).value, `{"result":{"limit":"3"}}`);
    assertEquals((await lines.next()).done, true);
  });
});

Deno.test("gateway: a stream over HTTP/2 answers each message as it comes", async () => {
  await withGateway(async ({ url }) => {
    const session = connect(url);
    const stream = session.request({ ":method": "POST", ":path": "/v3/test/stream" });
    const lines = linesIn(stream);
    stream.write(`{"limit":1}`);
    assertEquals((await lines.next()).value, `{"result":{"limit":"1"}}`);
    stream.end(`{"limit":2}`);
    assertEquals((await lines.next()).value, `{"result":{"limit":"2"}}`);
    assertEquals((await lines.next()).done, true);
    await new Promise<void>((resolve) => session.close(() => resolve()));
  });
});

Deno.test("gateway: a failure is the last line of a stream, and has a status of its own before the first", async () => {
  await withGateway(async ({ post }) => {
    assertEquals(await post("/v3/test/stream", `{"limit":1}{"limit":13}`), [
      200,
      `{"result":{"limit":"1"}}\n{"error":{"code":5,"message":"etcdserver: requested lease not found"}}\n`,
    ]);
    assertEquals(await post("/v3/test/stream", `{"limit":13}`), [
      404,
      `{"error":{"code":5,"message":"etcdserver: requested lease not found"}}\n`,
    ]);
    const [malformed, reason] = await post("/v3/test/stream", "oops");
    assertEquals([malformed, JSON.parse(reason).error.code], [400, 3]);
    const [tooLong] = await post("/v3/test/stream", `{"key":"${"A".repeat(20_000)}`);
    assertEquals(tooLong, 429);
  });
});

/** Returns the lines of the answer to a request. */
async function* linesOf(client: ReturnType<typeof request>): AsyncGenerator<string> {
  const answer = await new Promise<AsyncIterable<Uint8Array>>((resolve) => client.on("response", resolve));
  yield* linesIn(answer);
}

async function* linesIn(parts: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const part of parts) {
    const lines = (rest + new TextDecoder().decode(part)).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
