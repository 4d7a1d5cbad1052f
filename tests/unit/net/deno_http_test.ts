/** The real HTTP server: it answers, it is told when its port is taken, and it ends. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { DenoHttp } from "../../../lib/net/deno_http.ts";
import { NetworkError } from "../../../lib/net/errors.ts";
import type { HttpRequest } from "../../../lib/net/http.ts";
import { within } from "../../support/eventually.ts";

const ANY_PORT = { host: "127.0.0.1", port: 0 };

Deno.test("a request is handed on with its path alone, and its answer comes back", async () => {
  const asked: HttpRequest[] = [];
  const server = new DenoHttp().serve(ANY_PORT, (request) => {
    asked.push(request);
    return Promise.resolve({
      status: 503,
      contentType: "text/plain",
      body: "why not\n",
      headers: { a: "b" },
    });
  });
  const url = `http://127.0.0.1:${server.address.port}/ready?verbose`;
  const answer = await fetch(url);
  const { status, headers } = answer;
  assertEquals(
    [
      status,
      headers.get("content-type"),
      headers.get("cache-control"),
      headers.get("a"),
      await answer.text(),
    ],
    [503, "text/plain", "no-store", "b", "why not\n"],
  );
  const head = await fetch(url, { method: "HEAD" });
  assertEquals([head.status, await head.text()], [503, ""]);
  assertEquals(asked, [{ method: "GET", path: "/ready" }, { method: "HEAD", path: "/ready" }]);
  await server.close();
});

Deno.test("a handler that throws gives 500, and says nothing of why", async () => {
  const server = new DenoHttp().serve(ANY_PORT, () => Promise.reject(new Error("inner matters")));
  const answer = await fetch(`http://127.0.0.1:${server.address.port}/`);
  assertEquals([answer.status, await answer.text()], [500, "This node could not answer.\n"]);
  await server.close();
});

Deno.test("a taken port is named", async () => {
  const handler = (): Promise<never> => Promise.reject(new Error("nobody asks"));
  const server = new DenoHttp().serve(ANY_PORT, handler);
  const { code, message } = assertThrows(() => new DenoHttp().serve(server.address, handler), NetworkError);
  assertEquals([code, message], [
    "addressInUse",
    `Cannot serve HTTP on 127.0.0.1:${server.address.port}: the port is in use. ` +
    "Stop the process that has it, or choose another port.",
  ]);
  await server.close();
});

Deno.test("closing ends what is never answered, and more requests than it takes are told so", async () => {
  const { promise } = Promise.withResolvers<never>();
  const sixteen = Promise.withResolvers<void>();
  let asked = 0;
  const server = new DenoHttp().serve(ANY_PORT, () => {
    asked += 1;
    if (asked === 16) sixteen.resolve();
    return promise;
  });
  const url = `http://127.0.0.1:${server.address.port}/`;
  const waiting = Array.from({ length: 16 }, () => fetch(url).then((answer) => answer.text()));
  await within("sixteen wait", sixteen.promise);
  const busy = await fetch(url);
  assertEquals([busy.status, await busy.text()], [503, "Too many requests are under way. Try again.\n"]);
  await within("it is closed", server.close());
  const answers = await within("they are cut off", Promise.all(waiting));
  assertEquals(new Set(answers), new Set(["This node has stopped.\n"]));
  await assertRejects(() => fetch(url), TypeError);
});
